"""How well does a predictor rank? `python -m evaluator.predictor nats-sss`"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evaluator.predictor",
        description="Rank correlation of predictions from a few labels with the accuracy of the "
        "networks that were not labelled, over random draws of labels. Labels and judged networks "
        "are of the half of the table that nothing was designed or fitted on.",
    )
    parser.add_argument("dataset", choices=("nats-sss", "accel-nasbench"))
    parser.add_argument(
        "--labels", metavar="N,N", default="20,50,100", help="default: %(default)s"
    )
    parser.add_argument("--draws", type=int, default=20, metavar="N", help="default: 20")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the first draw")
    parser.add_argument("--data", metavar="DIR", help="folder of tables (default: $G4NAS_DATA)")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Judge the predictor on a table of trained networks; 0 done, 2 wrong usage or no data."""
    args = _parser().parse_args(argv)
    from evaluator.predictor.benchmark import benchmark_predictor, print_report
    from space.common.errors import MissingDataError

    try:
        labels = [int(word) for word in args.labels.split(",")]
        report = benchmark_predictor(
            args.dataset, labels, draws=args.draws, seed=args.seed, data=args.data
        )
    except (MissingDataError, ValueError) as error:
        print(f"evaluator.predictor: {error}", file=sys.stderr)
        return 2
    if args.format == "json":
        print(json.dumps(report, indent=1))
    else:
        print_report(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
