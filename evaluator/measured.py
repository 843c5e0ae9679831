"""Train the networks of the measured benchmark: `python -m evaluator.measured --data DIR`.

Every row is on disk before the next training begins; the same command goes on where it stopped.
`python -m evaluator.measured_report` says what the rows tell.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from space.command import Parser, run_command, say

if TYPE_CHECKING:
    from evaluator.measured_plan import Run
    from evaluator.recipe import Recipe

HELD_OUT = 0.1  # of each class of the training images, for what chooses networks
LONGER = 4  # how many times the long recipe's epochs are the short one's


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = Parser(
        prog="python -m evaluator.measured",
        description="Train the networks of the measured benchmark with one short recipe each, "
        "in a fixed order that keeps every part of it balanced. Goes on where it stopped.",
        epilog="Exit status: 0 done, 2 wrong usage, 130 Ctrl-C.",
    )
    result.add_argument("--data", required=True, help="CIFAR-10, as evaluator.train takes it")
    result.add_argument("--out", type=Path, required=True, metavar="FILE.csv")
    result.add_argument("--runs", type=int, help="stop after this many rows in all; default: all")
    result.add_argument("--per-band", type=int, metavar="N", help="random networks; default: 32")
    result.add_argument("--epochs", type=float, help="of the short recipe; default: 1")
    result.add_argument("--images", type=int, help="train on this many; default: all")
    result.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    result.add_argument(
        "--jobs", type=int, default=1, help="trainings at a time; changes no row (%(default)s)"
    )
    result.add_argument("--device", default="cpu", help="cpu or cuda; default: %(default)s")
    result.add_argument("--dry-run", action="store_true", help="print the plan, train nothing")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(argv)
    return run_command("evaluator.measured", lambda: _run(args), extra="train")


def recipes(epochs: float | None = None, images: int | None = None) -> dict[str, Recipe]:
    """The short recipe and the long one. One halving of the network is left out of two: for the
    same time it trains on three times the images (docs/train.md)."""
    from evaluator.recipe import SHORT

    short = SHORT.changed(
        name="measured", drop=1, epochs=epochs or 1.0, images=images, augment="flip"
    )
    return {"short": short, "long": short.changed(epochs=LONGER * short.epochs)}


def _run(args: argparse.Namespace) -> int:
    from evaluator.measured_plan import PER_BAND, plan

    if args.threads < 1:
        raise ValueError(f"--threads must be at least 1; got {args.threads}")
    if args.jobs < 1:
        raise ValueError(f"--jobs must be at least 1; got {args.jobs}")
    if args.per_band is not None and not 1 <= args.per_band <= PER_BAND:
        raise ValueError(f"--per-band must be in 1..{PER_BAND}; got {args.per_band}")
    runs = list(plan(args.per_band or PER_BAND))
    runs = runs[: args.runs]
    if args.dry_run:
        for run in runs:
            print(f"{run.recipe:5}  {run.seed}  {run.entry.name:26}  {run.entry.architecture}")
        return 0
    from space.files import locked

    args.out.parent.mkdir(parents=True, exist_ok=True)
    with locked(args.out.parent, "benchmark"):
        return _measure(args, runs)


def _measure(args: argparse.Namespace, runs: Sequence[Run]) -> int:
    import torch

    from evaluator.data import few, open_data, split_part
    from evaluator.data_cache import decoded
    from evaluator.measured_run import read_back, train_missing

    torch.set_num_threads(args.threads)
    both = recipes(args.epochs, args.images)
    data = open_data(args.data)
    side = both["short"].input
    train, held, _ = split_part(data.train, len(data.classes), seed=0, held_out=HELD_OUT)
    parts = (few(train, both["short"].images, seed=0), data.test, held)
    sizes = [len(part) for part in parts]
    say(f"{data.name}: {sizes[0]} images to train on, {sizes[1]} to test on, {sizes[2]} set aside")
    header: dict[str, Any] = {
        "recipes": {name: recipe.record() for name, recipe in both.items()},
        "images": sizes,
        "classes": list(data.classes),
        "device": args.device,
        "threads": args.threads,
    }
    rows = read_back(args.out, header, what="a benchmark", option="--out")
    if rows:
        say(f"{args.out} holds {len(rows)} rows; going on from there")
    arrays = [(decoded(part, side), torch.from_numpy(part.labels.copy())) for part in parts]
    command = f"python -m evaluator.measured --data DIR --out {args.out.name}"
    for number, row in train_missing(
        args.out, rows, runs, both, arrays, {"command": command}, header, args.jobs
    ):
        say(
            f"{number} of {len(runs)}: {row.name}, {row.recipe}, seed {row.seed}: "
            f"{row.accuracy:.2f} % in {row.cpu_s:.0f} s of processor, {row.seconds:.0f} s"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
