"""Progress over trainings: a bar on a terminal, one line for each training otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from space.common.cli import log
from space.common.progress import Progress


class TrainingProgress:
    """Progress over `total` trainings, measured by their expected seconds, so that the remaining
    time is right although large networks take longer. `finished` of them are on disk already."""

    def __init__(self, title: str, total: int, finished: int, seconds: float) -> None:
        self.title, self.total, self.number = title, total, finished
        self._past = 0.0
        self._bar = Progress(title, seconds, counted=False, quiet=not seconds)

    def __enter__(self) -> TrainingProgress:
        if self.number:
            log(f"{self.title}: {self.number} of {self.total} are on disk")
        self._bar.__enter__()
        return self

    def step(self, seconds: float) -> Callable[[float], None]:
        """What a training of so many expected seconds calls with the share of it that is done."""
        return lambda share: self._bar.update(self._past + share * seconds)

    def done(self, row: dict[str, Any], seconds: float) -> None:
        """A training has ended with this row of the store."""
        self.number, self._past = self.number + 1, self._past + seconds
        how = ", stopped early" if row["pruned"] else ", diverged" if row["diverged"] else ""
        line = (
            f"{self.number} of {self.total}, {row['purpose']}, seed {row['seed']}: "
            f"{row['accuracy']:.2f} %{how}, {row['seconds']:.0f} s"
        )
        if self._bar.shown:
            self._bar.update(self._past, title=line)
        else:
            log(line)

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__()
