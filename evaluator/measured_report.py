"""What follows from the measured benchmark: `python -m evaluator.measured_report [FILE.csv]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from space.common.cli import DONE, Parser, add_format, run_command


def parser() -> Parser:
    """The options of the command."""
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
    """Print the report; returns the exit status."""
    args = parser().parse_args(arguments)

    def body() -> int:
        import json

        from evaluator.measured_benchmark.report import benchmark_report, format_report

        report = benchmark_report(args.file)
        print(json.dumps(report, indent=1) if args.format == "json" else format_report(report))
        return DONE

    return run_command("evaluator.measured_report", body, extra="train")


if __name__ == "__main__":
    sys.exit(main())
