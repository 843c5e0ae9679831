"""How well does each score rank trained networks? `python -m evaluator.benchmark nats-sss`"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from evaluator.benchmarks.run import _print_table, benchmark

DATASETS = ("nats-sss", "accel-nasbench")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 0 done, 2 wrong usage or no data."""
    args = _parser().parse_args(argv)
    from space.common.errors import MissingDataError

    try:
        report = benchmark(
            args.dataset,
            data=args.data,
        )
    except (MissingDataError, ValueError, OSError) as error:
        print(f"evaluator.benchmark: {error}", file=sys.stderr)
        return 2
    if args.format == "json":
        print(json.dumps(report, indent=1))
    else:
        _print_table(report)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evaluator.benchmark",
        description="Rank correlation of each score with the accuracy of trained networks, over "
        "all of them and within deciles of FLOPs (mean of ten).",
    )
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument(
        "--data", metavar="DIR", help="folder of tables (default: $G4NAS_DATA, ../shared/data)"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
