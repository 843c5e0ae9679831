"""Trainings of the measured benchmark, one after the other or some at a time."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import active_children, parent_process
from pathlib import Path

import torch
from torch import Tensor
from torch.multiprocessing import get_context

from evaluator.data.cache import Pixels
from evaluator.data.dataset import digest
from evaluator.measured_benchmark.plan import BenchmarkConfig, PlannedRun
from evaluator.measured_benchmark.rows import TrainingRow
from evaluator.training.images.open_batches import array_batches
from evaluator.training.loop import Training
from evaluator.training.session import TrainingSession, run_to_end
from evaluator.training.weights.checkpoint import CheckpointWriter, identity
from space.common.cli import log
from space.common.errors import DivergedError, NoAnswerError
from space.common.provenance import commit, now_utc
from space.network.resize import on_input

ADVICE = "lower --jobs. The rows that were trained are in the file"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkTrainer:
    """What all trainings have in common; other processes get a copy.

    Args:
        parts: pixels and labels of the training, the test and the validation part.
        data: the key of these images.
    """

    config: BenchmarkConfig
    parts: Sequence[tuple[Pixels, Tensor]]
    data: str
    classes: Sequence[str]

    def rows(self, runs: Sequence[PlannedRun]) -> Iterator[TrainingRow]:
        """The rows of runs, in their order from one process, as they end from several.

        Raises:
            NoAnswerError: out of memory, or one of several processes was killed.
        """
        jobs = min(self.config.jobs, len(runs))
        if jobs <= 1:
            yield from map(self.row, runs)
            return
        pool = ProcessPoolExecutor(
            jobs, get_context("spawn"), initializer=_serve, initargs=(self,)
        )
        try:
            for ready in as_completed([pool.submit(_row, run) for run in runs]):
                yield ready.result()
        except BrokenProcessPool:
            raise NoAnswerError(
                f"a training's process was killed, most often for want of memory: {ADVICE}"
            ) from None
        finally:  # on Ctrl-C too: the pool would wait for its trainings
            pool.shutdown(wait=False, cancel_futures=True)
            for process in active_children():
                process.terminate()

    def row(self, run: PlannedRun) -> TrainingRow:
        """Train one network, or resume from its checkpoint. A training that diverges has a row
        too, with the accuracy of guessing.

        Raises:
            NoAnswerError: out of memory.
        """
        recipe, device = self.config.recipes()[run.recipe], self.config.device
        train, test, held = (
            array_batches(pixels, labels, recipe, run.seed, device)
            for pixels, labels in self.parts
        )
        published, side, classes = run.entry.network(), recipe.input, len(self.classes)
        network = on_input(published, side, side, classes=classes, drop=recipe.skipped_strides)
        images = len(self.parts[0][1])
        training = Training(network, recipe, images, train, test, seed=run.seed, device=device)
        expected = identity(training, self.classes, self.data)
        writer = CheckpointWriter(training, self._path(run.key), expected)
        writer.resume(replace=True)
        started = time.perf_counter() - training.seconds
        cpu_started = time.process_time() - training.cpu_s
        try:
            run_to_end(TrainingSession(training, writer, advice=ADVICE))
            accuracy, loss = training.history[-1].test_accuracy, training.history[-1].test_loss
            validation = training.evaluate(held)[1]
        except DivergedError as error:
            log(f"{run.entry.name}: {error}")
            accuracy = validation = 100 / classes
            loss = float("nan")
        return TrainingRow(
            **asdict(run.entry),
            recipe=run.recipe,
            seed=run.seed,
            accuracy=round(accuracy, 4),
            validation=round(validation, 4),
            loss=round(loss, 6),
            flops=network.flops,
            params=network.params,
            flops_224=published.flops,
            cpu_s=round(time.process_time() - cpu_started, 2),
            seconds=round(time.perf_counter() - started, 2),
            torch=torch.__version__,
            commit=commit(),
            date=now_utc(),
        )

    def forget(self, key: tuple[str, str, int]) -> None:
        """Remove the checkpoint of a run, once its row is on disk."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: tuple[str, str, int]) -> Path:
        out = self.config.out
        return out.with_name(f".{out.stem}-{digest(list(key))}.pt")


_trainer: BenchmarkTrainer | None = None  # of this process, if it is one of several


def _serve(trainer: BenchmarkTrainer) -> None:
    """Make this process ready to train; it ends with its parent, however that ends."""
    global _trainer
    _trainer = trainer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    torch.set_num_threads(trainer.config.threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _row(run: PlannedRun) -> TrainingRow:
    assert _trainer is not None
    return _trainer.row(run)
