"""What a person sees while networks are trained: a bar on a terminal, lines otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from space.common.cli import log


def format_duration(seconds: float) -> str:
    """A duration to one or two digits: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 10 else f"{round(hours)} h"


class Bar:
    """Progress over trainings, by their expected seconds, so that what remains is told right."""

    def __init__(self, what: str, total: int, there: int) -> None:
        self.what, self.total, self.number = what, total, there
        self._bar: Any = None
        self._task: Any = None
        self._past = 0.0

    def __enter__(self) -> Bar:
        if self.number:
            log(f"{self.what}: {self.number} of {self.total} are on disk")
        return self

    def expect(self, seconds: float) -> None:
        """Show the bar, if there is a terminal to show it on."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        console = Console(stderr=True)
        if not console.is_terminal or not seconds:
            return
        columns = (TextColumn("{task.description}"), BarColumn(), Remaining())
        self._bar = Progress(*columns, console=console, transient=True)
        self._bar.start()
        self._task = self._bar.add_task(self.what, total=seconds)

    def part(self, seconds: float) -> Callable[[float], None]:
        """What a training of so many expected seconds tells its share to."""

        def step(share: float) -> None:
            if self._bar is not None:
                self._bar.update(self._task, completed=self._past + share * seconds)

        return step

    def done(self, row: dict[str, Any], seconds: float) -> None:
        """A training has ended."""
        self.number, self._past = self.number + 1, self._past + seconds
        how = ", stopped early" if row["pruned"] else ", diverged" if row["diverged"] else ""
        line = (
            f"{self.number} of {self.total}, {row['purpose']}, seed {row['seed']}: "
            f"{row['accuracy']:.2f} %{how}, {row['seconds']:.0f} s"
        )
        if self._bar is None:
            log(line)
        else:
            self._bar.update(self._task, completed=self._past, description=line)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
