"""What does the measured benchmark tell? `python -m evaluator.measured_report [FILE.csv]`"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluator.measured_benchmark.report import as_text, benchmark_report
from space.common.cli import Parser, run_command


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
    result.add_argument("--format", choices=("table", "json"), default="table")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(argv)
    return run_command("evaluator.measured_report", lambda: _run(args), extra="train")


def _run(args: argparse.Namespace) -> int:
    told = benchmark_report(args.file)
    print(json.dumps(told, indent=1) if args.format == "json" else as_text(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
