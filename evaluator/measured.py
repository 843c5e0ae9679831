"""Train the networks of the measured benchmark: `python -m evaluator.measured --data DIR`.

Every row is on disk before the next training begins; the same command goes on where it stopped.
`python -m evaluator.measured_report` says what the rows tell.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from space.command import Parser, run_command, say

if TYPE_CHECKING:
    from evaluator.data_batches import ArrayBatches
    from evaluator.measured_file import Row
    from evaluator.measured_plan import Run
    from evaluator.recipe import Recipe

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

    from evaluator.data import few, open_data
    from evaluator.data_batches import ArrayBatches
    from evaluator.data_cache import decoded
    from evaluator.measured_file import read_header, read_rows, write_header, write_rows
    from space.files import commit, versions

    torch.set_num_threads(args.threads)
    both = recipes(args.epochs, args.images)
    data = open_data(args.data)
    side = both["short"].input
    train, test = few(data.train, both["short"].images, seed=0), data.test
    say(f"{data.name}: {len(train)} images to train on, {len(test)} to test on")
    header: dict[str, Any] = {
        "recipes": {name: recipe.record() for name, recipe in both.items()},
        "images": [len(train), len(test)],
        "classes": list(data.classes),
        "device": args.device,
        "threads": args.threads,
    }
    rows: list[Row] = []
    if args.out.exists():
        rows, there = read_rows(args.out), read_header(args.out)
        other = [name for name in header if there.get(name) != header[name]]
        if other:
            raise ValueError(
                f"{args.out} holds a benchmark with other {', '.join(other)}. Choose another --out"
            )
        say(f"{args.out} holds {len(rows)} rows; going on from there")
    done = {row.key for row in rows}
    parts = [(decoded(part, side), torch.from_numpy(part.labels.copy())) for part in (train, test)]
    for number, run in enumerate(runs, start=1):
        if run.key in done:
            continue
        batches = [
            ArrayBatches(*part, both[run.recipe], run.seed, device=args.device) for part in parts
        ]
        row = _train(run, both[run.recipe], len(train), len(data.classes), batches, args.device)
        rows.append(row)
        write_rows(args.out, rows)
        told = {"rows": len(rows), "planned": len(runs), "date": row.date, "commit": commit()}
        packages = versions("torch", "torchvision", "numpy", "pillow")
        command = f"python -m evaluator.measured --data DIR --out {args.out.name}"
        write_header(args.out, {**told, "command": command, "versions": packages, **header})
        say(
            f"{number} of {len(runs)}: {row.name}, {row.recipe}, seed {row.seed}: "
            f"{row.accuracy:.2f} % in {row.cpu_s:.0f} s of processor, {row.seconds:.0f} s"
        )
    return 0


def _train(
    run: Run, recipe: Recipe, images: int, classes: int, data: list[ArrayBatches], device: str
) -> Row:
    import torch

    from evaluator.measured_file import Row
    from evaluator.train_loop import DivergedError, Training
    from space.files import commit
    from space.small import on_input

    whole = run.entry.network()
    network = on_input(whole, recipe.input, recipe.input, classes=classes, drop=recipe.drop)
    started, cpu = time.perf_counter(), time.process_time()
    train, test = data
    training = Training(network, recipe, images, train, test, seed=run.seed, device=device)
    try:
        for _ in training.run():
            pass
        accuracy, loss = training.history[-1].test_accuracy, training.history[-1].test_loss
    except DivergedError as error:  # a result too: such a network trains badly
        say(f"{run.entry.name}: {error}")
        accuracy, loss = 100 / classes, float("nan")
    return Row(
        name=run.entry.name,
        group=run.entry.group,
        architecture=run.entry.architecture,
        recipe=run.recipe,
        seed=run.seed,
        accuracy=round(accuracy, 4),
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


if __name__ == "__main__":
    sys.exit(main())
