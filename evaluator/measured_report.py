"""What follows from the measured benchmark: `python -m evaluator.measured_report [FILE.csv]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from space.common.cli import Parser, add_format, run_command


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = Parser(
        prog="python -m evaluator.measured_report",
        description="The measured benchmark: the noise between seeds, how well short training "
        "ranks long training, how well each score ranks at equal FLOPs, and whether the paper's "
        "split, depths and widths are best.",
    )
    result.add_argument(
        "file", type=Path, nargs="?", help="rows of evaluator.measured; default: the shipped ones"
    )
    add_format(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(arguments)
    return run_command("evaluator.measured_report", lambda: _run(args), extra="train")


def _run(args: argparse.Namespace) -> int:
    from evaluator.measured_benchmark.report import benchmark_report, format_report

    report = benchmark_report(args.file)
    print(json.dumps(report, indent=1) if args.format == "json" else format_report(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
