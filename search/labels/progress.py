"""Progress over trainings: a bar on a terminal, one line for each training otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from space.common.cli import log
from space.common.progress import Progress


class TrainingProgress(Progress):
    """Progress over `count` trainings, measured by their expected `seconds`, so that the remaining
    time is right although large networks take longer. `finished` of them are on disk already."""

    def __init__(self, title: str, count: int, finished: int, seconds: float) -> None:
        super().__init__(title, seconds, counted=False, quiet=not seconds)
        self.count, self.finished, self._past = count, finished, 0.0
        if finished:
            log(f"{title}: {finished} of {count} are on disk")

    def step(self, seconds: float) -> Callable[[float], None]:
        """What a training of so many expected seconds calls with its finished share."""
        return lambda share: self.update(self._past + share * seconds)

    def finish(self, row: dict[str, Any], seconds: float) -> None:
        """A training has ended with this row of the store."""
        self.finished, self._past = self.finished + 1, self._past + seconds
        how = ", stopped early" if row["pruned"] else ", diverged" if row["diverged"] else ""
        line = (
            f"{self.finished} of {self.count}, {row['purpose']}, seed {row['seed']}: "
            f"{row['accuracy']:.2f} %{how}, {row['seconds']:.0f} s"
        )
        if self.shown:
            self.update(self._past, title=line)
        else:
            log(line)
