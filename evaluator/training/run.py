"""One training from data to files: what it shows, and what it keeps however it ends."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evaluator.data.dataset import subset
from evaluator.data.open import open_data
from evaluator.training import checkpoint as files
from evaluator.training.loader import batches
from evaluator.training.loop import Training
from evaluator.training.process import ProcessShare, loader_workers, process_context
from evaluator.training.recipe import Recipe
from evaluator.training.reporter import TrainingReporter
from evaluator.training.session import CheckpointWriter, explain_failure
from space.common.errors import DataError
from space.network.network import Network
from space.network.resize import on_input, total_stride


def train(
    args: argparse.Namespace, recipe: Recipe, whole: Network, out: Path
) -> dict[str, Any] | None:
    """Train, or go on; the result, or None in all processes but the first.

    Raises:
        ValueError: data, checkpoint or settings that cannot be used.
        NoAnswerError: the loss is no number any more, or memory ran out.
    """
    with process_context(args, recipe, out) as (device, share):
        return _train(args, recipe, whole, out, device, share)


def _train(
    args: argparse.Namespace,
    recipe: Recipe,
    whole: Network,
    out: Path,
    device: str,
    share: ProcessShare,
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
    part = subset(data.train, recipe.images, seed=args.seed)
    if len(part) < 2 * share.world:
        raise DataError(f"{data.name} must have 2 images a process to train on; got {len(part)}")
    show = TrainingReporter(quiet=share.rank > 0)
    show.start(data, len(part), network, recipe, device)
    workers = loader_workers(args.workers, share)
    make = batches(recipe, args.seed, share, device, workers, show)
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
    keeper = CheckpointWriter(training, mine, path, data)
    with explain_failure(recipe, keeper):
        for _ in _steps(training, show, args.tensorboard, out):
            keeper.keep(args.save_every)
    return None if share.rank else _result(training, mine, out)


def _steps(
    training: Training, show: TrainingReporter, tensorboard: bool, out: Path
) -> Iterator[int]:
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
