"""Train the networks of the measured benchmark: `python -m evaluator.measured --data DIR`.

Every row is on disk before the next training begins; the same command goes on where it stopped.
`python -m evaluator.measured_report` prints what follows from the rows.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from evaluator.training.recipes.recipe import RANGES
from space.common.cli import DONE, Parser, check_range, run_command


def parser() -> Parser:
    """The options of the command."""
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, or print the plan; returns the exit status."""
    args = parser().parse_args(arguments)

    def body() -> int:
        check_range(vars(args), images=RANGES["images"])
        from evaluator.measured_benchmark.plan import BenchmarkConfig

        values = {name: value for name, value in vars(args).items() if value is not None}
        dry_run = values.pop("dry_run")
        config = BenchmarkConfig(**values)
        if dry_run:
            for run in config.planned():
                print(f"{run.recipe:5}  {run.seed}  {run.entry.name:26}  {run.entry.architecture}")
            return DONE
        from evaluator.measured_benchmark.train import train_benchmark

        train_benchmark(config)
        return DONE

    return run_command("evaluator.measured", body, extra="train")


if __name__ == "__main__":
    sys.exit(main())
