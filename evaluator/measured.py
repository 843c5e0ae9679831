"""Train the networks of the measured benchmark: `python -m evaluator.measured --data DIR`.

Every row is on disk before the next training begins; the same command goes on where it stopped.
`python -m evaluator.measured_report` says what the rows tell.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluator.measured_benchmark.train import _measure
from space.common.cli import Parser, run_command


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


def _run(args: argparse.Namespace) -> int:
    from evaluator.measured_benchmark.plan import PER_BAND, plan

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
    from space.common.files import locked

    args.out.parent.mkdir(parents=True, exist_ok=True)
    with locked(args.out.parent, "benchmark"):
        return _measure(args, runs)


if __name__ == "__main__":
    sys.exit(main())
