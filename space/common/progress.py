"""How far a measurement is: a bar on a terminal, a line every quarter otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Say = Callable[[str], None]
Show = Callable[[str, int, int], None]


@contextmanager
def progress(say: Say, what: str = "jobs") -> Iterator[Show]:
    """Gives `show(title, done, total)`; `say` is told the lines where there is no terminal."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("")

            def draw(title: str, done: int, total: int) -> None:
                bar.update(task, description=title, completed=done, total=total)

            yield draw
    else:

        def lines(title: str, done: int, total: int) -> None:
            if done == total or done * 4 // total > (done - 1) * 4 // total:
                say(f"{title}: {done} of {total} {what}")

        yield lines
