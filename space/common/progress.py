"""One progress bar, on stderr. Without a terminal: a line every quarter, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from space.common.cli import log
from space.common.text import format_duration

Report = Callable[[int, int], object]
"""Called with (done, total)."""


class Progress:
    """A bar on a terminal while the block runs; it is gone afterwards.

    Args:
        title: what is done; `update` may change it.
        total: the number of steps; None: an `update` sets it.
        done: the steps done before.
        counted: print done and total beside the bar.
        lines: without a terminal, log a line each quarter of the way, as "{title}: 3 of 12
            {lines}"; None: nothing.
        quiet: print nothing, for all processes but the first.

    Example:
        >>> with Progress("searching", total=3) as bar:
        ...     for step in range(3):
        ...         bar.update(step + 1)
    """

    def __init__(
        self,
        title: str,
        total: float | None = None,
        done: float = 0,
        *,
        counted: bool = True,
        lines: str | None = None,
        log: Callable[[str], object] = log,
        quiet: bool = False,
    ) -> None:
        self.title, self.total, self.done = title, total, done
        self._counted, self._lines, self._log, self._quiet = counted, lines, log, quiet
        self._bar: Any = None
        self._task: Any = None
        self._columns: tuple[Any, ...] = ()

    @property
    def shown(self) -> bool:
        """Whether a bar is on a terminal now."""
        return self._bar is not None

    def __enter__(self) -> Progress:
        if self._quiet or not sys.stderr.isatty():
            return self
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        count = [MofNCompleteColumn()] if self._counted else []
        columns = (TextColumn("{task.description}"), BarColumn(), *count, TimeRemainingColumn())
        self._columns = columns
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.start()
        self._task = self._bar.add_task(self.title, total=self.total, completed=self.done)
        return self

    def update(
        self,
        done: float,
        total: float | None = None,
        *,
        title: str | None = None,
        left_s: float | None = None,
    ) -> None:
        """Move the bar to `done`; None: `total` and `title` stay.

        Args:
            left_s: seconds until the end, where the caller knows more than how many steps took
                how long; the bar then shows these.
        """
        self.title = self.title if title is None else title
        self.total = self.total if total is None else total
        self.done = done
        left = "" if left_s is None else f"about {format_duration(left_s)} left"
        if self._bar is not None:
            description = f"{self.title}, {left}" if left else self.title
            self._bar.update(self._task, completed=done, total=self.total, description=description)
            self._bar.columns = self._columns[: -1 if left else None]
        elif self._lines is not None and self.total and not self._quiet:
            total = self.total
            if done == total or done * 4 // total > (done - 1) * 4 // total:
                more = f", {left}" if left and done != total else ""
                self._log(f"{self.title}: {done} of {total} {self._lines}{more}")

    def log(self, message: str) -> None:
        """Print a line on stderr, above the bar."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.console.print(message, markup=False, highlight=False, soft_wrap=True)
        else:
            self._log(message)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None
