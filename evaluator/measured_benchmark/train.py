"""Train the networks of the measured benchmark, each with one short recipe."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from space.common.cli import log

if TYPE_CHECKING:
    from evaluator.measured_benchmark.plan import Run
    from evaluator.training.recipe import Recipe

HELD_OUT = 0.1  # of each class of the training images, for what chooses networks
LONGER = 4  # how many times the long recipe's epochs are the short one's


def recipes(epochs: float | None = None, images: int | None = None) -> dict[str, Recipe]:
    """The short recipe and the long one. One halving of the network is left out of two: for the
    same time it trains on three times the images (docs/results/training.md)."""
    from evaluator.training.recipe import SHORT

    short = SHORT.changed(
        name="measured", skipped_strides=1, epochs=epochs or 1.0, images=images, augment="flip"
    )
    return {"short": short, "long": short.changed(epochs=LONGER * short.epochs)}


def _measure(args: argparse.Namespace, runs: Sequence[Run]) -> int:
    import torch

    from evaluator.data.cache import decoded
    from evaluator.data.dataset import split, subset
    from evaluator.data.open import open_data
    from evaluator.measured_benchmark.trainer import read_back, train_missing

    torch.set_num_threads(args.threads)
    both = recipes(args.epochs, args.images)
    data = open_data(args.data)
    side = both["short"].input
    train, held, _ = split(data.train, len(data.classes), seed=0, held_out=HELD_OUT)
    parts = (subset(train, both["short"].images, seed=0), data.test, held)
    sizes = [len(part) for part in parts]
    log(f"{data.name}: {sizes[0]} images to train on, {sizes[1]} to test on, {sizes[2]} set aside")
    header: dict[str, Any] = {
        "recipes": {name: recipe.record() for name, recipe in both.items()},
        "images": sizes,
        "classes": list(data.classes),
        "device": args.device,
        "threads": args.threads,
    }
    rows = read_back(args.out, header, what="a benchmark", option="--out")
    if rows:
        log(f"{args.out} holds {len(rows)} rows; going on from there")
    arrays = [(decoded(part, side), torch.from_numpy(part.labels.copy())) for part in parts]
    command = f"python -m evaluator.measured --data DIR --out {args.out.name}"
    for number, row in train_missing(
        args.out, rows, runs, both, arrays, {"command": command}, header, args.jobs
    ):
        log(
            f"{number} of {len(runs)}: {row.name}, {row.recipe}, seed {row.seed}: "
            f"{row.accuracy:.2f} % in {row.cpu_s:.0f} s of processor, {row.seconds:.0f} s"
        )
    return 0
