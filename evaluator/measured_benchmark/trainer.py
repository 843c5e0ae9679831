"""Networks trained one after the other, or some at a time; each row is on disk at once."""

from __future__ import annotations

import datetime
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, parent_process
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing import get_context

from evaluator.measured_benchmark.plan import Run
from evaluator.measured_benchmark.rows import (
    TrainingRow,
    read_header,
    read_rows,
    write_header,
    write_rows,
)
from evaluator.training.batches import ArrayBatches
from evaluator.training.loop import Training
from evaluator.training.recipe import Recipe
from space.common.cli import log
from space.common.errors import DivergedError, InfeasibleError
from space.common.provenance import commit, versions
from space.network.resize import on_input


def read_back(
    path: Path, header: Mapping[str, Any], *, what: str, option: str
) -> list[TrainingRow]:
    """The rows in `path`; none if it does not exist. `what` they are, and the `option` that named
    the file, are for the message.

    Raises:
        ValueError: they are of trainings with another `header`.
    """
    if not path.exists():
        return []
    rows, there = read_rows(path), read_header(path)
    other = [name for name in header if there.get(name) != header[name]]
    if other:
        raise ValueError(
            f"{path} holds {what} with other {', '.join(other)}. Choose another {option}"
        )
    return rows


def train_missing(
    path: Path,
    rows: list[TrainingRow],
    runs: Sequence[Run],
    recipes: Mapping[str, Recipe],
    parts: Sequence[tuple[Tensor, Tensor]],
    told: Mapping[str, Any],
    header: Mapping[str, Any],
    jobs: int = 1,
) -> Iterator[tuple[int, TrainingRow]]:
    """Train the runs that have no row yet, and add theirs to `rows` and to `path`.

    `parts`: pixels and labels of the training, the test and maybe a validation part; `told`:
    more for the header, that may differ when the trainings go on; `jobs`: how many processes
    train at a time, which changes no result. Yields each run's number, from 1, and its row.
    """
    done = {row.key for row in rows}
    place = {run.key: number for number, run in enumerate(runs, start=1)}
    missing = [run for run in runs if run.key not in done]
    trainer = BenchmarkTrainer(
        dict(recipes),
        list(parts),
        len(header["classes"]),
        header["device"],
        torch.get_num_threads(),
    )
    for row in trainer.rows(missing, jobs):
        rows.append(row)
        rows.sort(key=lambda row: place.get(row.key, 0))  # the same file whoever came first
        write_rows(path, rows)
        now = {"rows": len(rows), "planned": len(runs), "date": row.date, "commit": commit()}
        packages = versions("torch", "torchvision", "numpy", "pillow")
        write_header(path, {**now, **told, "versions": packages, **header})
        yield place[row.key], row


@dataclass(frozen=True, slots=True)
class BenchmarkTrainer:
    """What every training has in common."""

    recipes: Mapping[str, Recipe]
    parts: Sequence[tuple[Tensor, Tensor]]
    classes: int
    device: str
    threads: int

    def rows(self, runs: Sequence[Run], jobs: int) -> Iterator[TrainingRow]:
        """The rows of runs, in their order from one process, as they come from several.

        Raises:
            InfeasibleError: one of several processes was killed.
        """
        if min(jobs, len(runs)) <= 1:
            yield from map(self.row, runs)
            return
        pool = ProcessPoolExecutor(
            min(jobs, len(runs)), get_context("spawn"), initializer=_serve, initargs=(self,)
        )
        try:
            for ready in as_completed([pool.submit(_row, run) for run in runs]):
                yield ready.result()
        except BrokenProcessPool:
            raise InfeasibleError(
                "a training's process was killed, most often for want of memory: lower --jobs. "
                "The rows that were trained are kept"
            ) from None
        finally:  # also on Ctrl-C: the pool would wait for trainings that nobody wants any more
            pool.shutdown(wait=False, cancel_futures=True)
            for process in active_children():
                process.terminate()

    def row(self, run: Run) -> TrainingRow:
        """One training."""
        recipe, classes = self.recipes[run.recipe], self.classes
        train, test, *held = (
            ArrayBatches(*part, recipe, run.seed, device=self.device) for part in self.parts
        )
        whole = run.entry.network()
        network = on_input(
            whole, recipe.input, recipe.input, classes=classes, drop=recipe.skipped_strides
        )
        started, cpu = time.perf_counter(), time.process_time()
        images = len(self.parts[0][1])
        training = Training(
            network, recipe, images, train, test, seed=run.seed, device=self.device
        )
        try:
            for _ in training.run():
                pass
            accuracy, loss = training.history[-1].test_accuracy, training.history[-1].test_loss
            validation = training.evaluate(held[0])[1] if held else float("nan")
        except DivergedError as error:  # a result too: such a network trains badly
            log(f"{run.entry.name}: {error}")
            accuracy = validation = 100 / classes
            loss = float("nan")
        return TrainingRow(
            name=run.entry.name,
            group=run.entry.group,
            architecture=run.entry.architecture,
            recipe=run.recipe,
            seed=run.seed,
            accuracy=round(accuracy, 4),
            validation=round(validation, 4),
            loss=round(loss, 6),
            flops=network.flops,
            params=network.params,
            flops_224=whole.flops,
            cpu_s=round(time.process_time() - cpu, 2),
            seconds=round(time.perf_counter() - started, 2),
            torch=torch.__version__,
            commit=commit(),
            date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )


_trainer: BenchmarkTrainer | None = None  # of this process, if it is one of several


def _serve(trainer: BenchmarkTrainer) -> None:
    """Make this process ready to train; it ends with the one that began it, however that ends."""
    global _trainer
    _trainer = trainer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that began it
    torch.set_num_threads(trainer.threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _row(run: Run) -> TrainingRow:
    assert _trainer is not None
    return _trainer.row(run)
