"""Trains jobs that are not on disk yet: one after another, or on a GPU several at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.labels.rounds import train_rounds
from search.labels.store import Store
from search.labels.trainer import Judge, LabelTrainer, TrainingJob
from space.common.cli import log
from space.common.progress import Progress

Row = dict[str, Any]


class TrainingProgress(Progress):
    """Progress over `count` trainings, measured by their expected `costs`, so that the remaining
    time is right although large networks take longer. `finished` of them are on disk already."""

    def __init__(self, title: str, count: int, finished: int, costs: float) -> None:
        super().__init__(title, costs, counted=False, quiet=not costs)
        self.count, self.finished, self._past = count, finished, 0.0
        if finished:
            log(f"{title}: {finished} of {count} are on disk")

    def step(self, cost: float) -> Callable[[float], None]:
        """What a training of this expected cost calls with its finished share."""
        return lambda share: self.update(self._past + share * cost)

    def finish(self, row: Row, cost: float) -> None:
        """A training has ended with this row of the store."""
        self.finished, self._past = self.finished + 1, self._past + cost
        how = ", stopped early" if row["pruned"] else ", diverged" if row["diverged"] else ""
        line = (
            f"{self.finished} of {self.count}, {row['purpose']}, seed {row['seed']}: "
            f"{row['accuracy']:.2f} %{how}, {row['seconds']:.0f} s"
        )
        if self.shown:
            self.update(max(self.done, self._past), title=line)
        else:
            log(line)


def stored_row(store: Store, trainer: LabelTrainer, job: TrainingJob) -> Row | None:
    """The row of a training that is on disk, with its weights where they are kept."""
    name = job.network.name
    expected = {
        "architecture": name,
        "seed": job.seed,
        "recipe": json.loads(json.dumps(trainer.recipe.record())),  # as JSON has it
    }
    row = store.find(trainer.key(name, job.seed), expected, trainer.epochs)
    if row is None or job.weights_path is None or row["diverged"]:
        return row
    return row if job.weights_path.exists() else None


def train_jobs(
    trainer: LabelTrainer,
    store: Store,
    jobs: Sequence[TrainingJob],
    *,
    title: str,
    costs: Callable[[list[int]], NDArray[np.float64]],
    judge: Callable[[int], Judge | None] = lambda number: None,
    ended: Callable[[int, Row], object] = lambda number, row: None,
) -> list[Row]:
    """The row of each job, trained if it is not in the store.

    One after another, each is judged against the same ones before it, wherever an earlier run
    stopped. At once, it is judged against those of earlier rounds, and all that were on disk.

    Args:
        title: of the progress bar.
        costs: of the numbers of the missing jobs: the expected seconds of all jobs, [n]; called
            where they are trained one after another.
        judge: of the number of a job: what stops it.
        ended: called once for each job, with its number and its row, before those after it begin.

    Raises:
        NoAnswerError: out of memory.
        DataError: an image is damaged.
    """
    rows = [stored_row(store, trainer, job) for job in jobs]
    missing = [number for number, row in enumerate(rows) if row is None]
    several = bool(missing) and trainer.several
    each = costs(missing) if missing and not several else np.ones(len(jobs))
    bar = TrainingProgress(title, len(jobs), len(jobs) - len(missing), each[missing].sum())

    def finish(number: int, row: Row) -> None:
        rows[number] = row
        store.add(row)
        trainer.forget(jobs[number].network.name, jobs[number].seed)
        bar.finish(row, each[number])

    def judged(number: int) -> TrainingJob:
        return replace(jobs[number], judge=judge(number))

    def follow(numbers: Sequence[int]) -> None:
        for number in numbers:
            if (row := rows[number]) is not None:
                ended(number, row)

    with bar:
        if several:
            follow(range(len(jobs)))
            train_rounds(
                trainer,
                [partial(judged, number) for number in missing],
                progress=lambda share: bar.update(share * len(missing)),
                finish=lambda index, row: finish(missing[index], row),
                end_round=lambda first, last: follow(missing[first:last]),
            )
        else:
            for number in range(len(jobs)):
                if rows[number] is None:
                    row = trainer.run(judged(number), bar.step(each[number]))
                    finish(number, row)
                follow([number])
    return [row for row in rows if row is not None]
