"""One training from data to files: what it shows, and what it keeps however it ends."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from evaluator import train_files as files
from evaluator.data import Data, DataError, Part, few, open_data
from evaluator.data_batches import ArrayBatches, DecodedBatches, Share
from evaluator.data_cache import decoded, fits
from evaluator.recipe import Recipe
from evaluator.train_loop import DivergedError, Training
from evaluator.train_place import decoders, device_of, processes
from evaluator.train_show import Show
from space.command import NoAnswerError
from space.files import locked
from space.network import Network
from space.small import SMALL, on_input, total_stride

NO_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")


def train(
    args: argparse.Namespace, recipe: Recipe, whole: Network, out: Path
) -> dict[str, Any] | None:
    """Train, or go on; the result, or None in all processes but the first.

    Raises:
        ValueError: data, checkpoint or settings that cannot be used.
        NoAnswerError: the loss is no number any more, or memory ran out.
    """
    if args.threads:
        torch.set_num_threads(args.threads)
    device = device_of(args.device)
    with processes(device) as share:
        if recipe.batch % share.world:
            raise ValueError(
                f"--batch must be a multiple of the {share.world} processes; got {recipe.batch}"
            )
        if share.rank:
            return _train(args, recipe, whole, out, device, share)
        with locked(out, "training"):
            return _train(args, recipe, whole, out, device, share)


def _train(
    args: argparse.Namespace,
    recipe: Recipe,
    whole: Network,
    out: Path,
    device: str,
    share: Share,
) -> dict[str, Any] | None:
    data = open_data(
        args.data,
        seed=args.seed,
        held_out=args.held_out,
        image_column=args.image_column,
        label_column=args.label_column,
        download=args.download,
    )
    side, classes = recipe.input, len(data.classes)
    network = on_input(whole, side, side, classes=classes, drop=recipe.drop)
    part = few(data.train, recipe.images, seed=args.seed)
    if len(part) < 2 * share.world:
        raise DataError(f"{data.name} must have 2 images a process to train on; got {len(part)}")
    show = Show(quiet=share.rank > 0)
    show.start(data, len(part), network, recipe, device)
    workers = decoders(args.workers, share)
    make = _maker(recipe, args.seed, share, device, workers, show)
    training = Training(
        network,
        recipe,
        len(part),
        make(part),
        make(data.test),
        seed=args.seed,
        device=device,
        amp=args.amp,
        share=share,
        check_every=1 if device == "cpu" else 20,
    )
    mine = files.identity(
        whole.name, recipe, seed=args.seed, classes=data.classes, data=data.key, amp=args.amp
    )
    path = out / files.CHECKPOINT
    if args.weights is not None:
        files.load_weights(args.weights, training, whole.name, data.classes)
    if path.exists() and not args.fresh:
        files.load_checkpoint(path, training, mine)
        show.say(f"{path} is at step {training.step} of {training.total}; going on from there")
    keeper = Keeper(training, mine, path, data)
    with _explained(recipe, keeper):
        for _ in _steps(training, show, args.tensorboard, out):
            keeper.keep(args.save_every)
    return None if share.rank else _result(training, mine, out)


def _steps(training: Training, show: Show, tensorboard: bool, out: Path) -> Iterator[int]:
    writer = None
    if tensorboard and not training.share.rank:
        writer = _event_writer(out, training.step)
    with show.progress(training):
        for step in training.run():
            show.step(training)
            if training.epoch_ended:
                show.epoch(training)
                if writer is not None:
                    for name in ("train_loss", "test_loss", "test_accuracy", "lr"):
                        writer.add_scalar(name, getattr(training.history[-1], name), step)
            yield step
    if writer is not None:
        writer.close()


def _event_writer(out: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        raise ValueError(
            "--tensorboard needs tensorboard, which is not installed: pip install tensorboard"
        ) from None
    return SummaryWriter(str(out / "tensorboard"), purge_step=step)


class Keeper:
    """Writes what an epoch leaves, and the checkpoint when it is time; the first process alone."""

    def __init__(self, training: Training, mine: dict[str, Any], path: Path, data: Data) -> None:
        self.training, self.mine, self.path, self.data = training, mine, path, data
        self.saved = time.monotonic()

    def checkpoint(self) -> None:
        """Replace the checkpoint.

        Raises:
            DivergedError: a weight is no number; the last good checkpoint stays.
        """
        self._check()
        files.save_checkpoint(self.path, self.training, self.mine)
        self.saved = time.monotonic()

    def keep(self, every_s: float) -> None:
        """Called after each step; writes after an epoch, and every `every_s` seconds."""
        training = self.training
        if training.share.rank:
            return
        if training.epoch_ended:
            # The checkpoint last: killed in between, the epoch ends again, to the same files.
            self._check()
            self._epoch()
            self.checkpoint()
        elif time.monotonic() - self.saved >= every_s:
            self.checkpoint()

    def _check(self) -> None:
        if not self.training.finite():
            step = self.training.step
            raise DivergedError(f"a weight is no number after step {step}: lower --lr")

    def _epoch(self) -> None:
        training, folder = self.training, self.path.parent
        entry = training.history[-1]
        told = files.about(training, self.mine, entry, data=self.data.name, split=self.data.split)
        files.save_weights(folder / files.LAST, training.weights(), told)
        best = max(training.history, key=lambda e: (e.test_accuracy, -e.step))
        if best is entry:
            files.save_weights(folder / files.BEST, training.best, told)
        files.write_log(folder / files.LOG, training.history)


def _result(training: Training, mine: dict[str, Any], out: Path) -> dict[str, Any]:
    last = training.history[-1]
    names = [files.BEST, files.LAST, files.LOG, files.CHECKPOINT]
    return {
        "architecture": mine["architecture"],
        "input": list(training.network.input_shape),
        "total_stride": total_stride(training.network),
        "flops": training.network.flops,
        "params": training.network.params,
        "classes": mine["classes"],
        "last_accuracy": last.test_accuracy,
        "best_accuracy": max(entry.test_accuracy for entry in training.history),
        "test_loss": last.test_loss,
        "seconds": last.seconds,
        "seed": mine["seed"],
        "recipe": mine["recipe"],
        "files": [str(out / name) for name in names],
    }


@contextmanager
def _explained(recipe: Recipe, keeper: Keeper) -> Iterator[None]:
    """Errors in the middle of a training, with what is kept and what to do."""
    try:
        yield
    except DivergedError as error:
        told = f"{error} (now {recipe.lr:g}) and give --fresh. {_kept(keeper.path)}"
        raise NoAnswerError(told) from None
    except (DataError, KeyboardInterrupt):
        training = keeper.training
        if not training.share.rank and training.step and training.finite():
            keeper.checkpoint()
        raise
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
            word in text.lower() for word in NO_MEMORY
        ):
            raise NoAnswerError(
                f"out of memory with --batch {recipe.batch} at --input {recipe.input}: lower "
                f"--batch, then --input. {_kept(keeper.path)}"
            ) from None
        if "DataLoader worker" in text:
            raise NoAnswerError(
                f"a decoding process died ({text.splitlines()[0]}): lower --workers, 0 for none. "
                f"{_kept(keeper.path)}"
            ) from None
        raise


def _kept(path: Path) -> str:
    return f"What was done before is in {path}" if path.exists() else "Nothing was written yet"


def _maker(
    recipe: Recipe, seed: int, share: Share, device: str, workers: int, show: Show
) -> Callable[[Part], ArrayBatches | DecodedBatches]:
    """Batches of a part: decoded once into the cache where inputs are small, else on the fly."""
    small = recipe.input <= SMALL and recipe.augment != "scale"

    def make(part: Part) -> ArrayBatches | DecodedBatches:
        if not (small and fits(part, recipe.input)):
            return DecodedBatches(part, recipe, seed, share, device, workers)
        if share.rank:
            torch.distributed.barrier()  # the first process decodes, the others read
        with show.decoding(len(part)) as advance:
            pixels = decoded(part, recipe.input, workers=workers, progress=advance)
        if share.world > 1 and not share.rank:
            torch.distributed.barrier()
        labels = torch.from_numpy(part.labels.copy())
        return ArrayBatches(pixels, labels, recipe, seed, share, device)

    return make
