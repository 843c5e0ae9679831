"""How well does each score rank trained networks? `python -m evaluator.benchmark nats-sss`"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from evaluator.benchmarks import DATASETS
from space.common.cli import DONE, Parser, add_format, run_command


def parser() -> Parser:
    """The options of the command."""
    parser = Parser(
        prog="python -m evaluator.benchmark",
        description="Rank correlation of each score with the accuracy of trained networks, over "
        "all of them and within deciles of FLOPs (mean of ten).",
    )
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("--data", metavar="DIR", help="folder of tables (default: $G4NAS_DATA)")
    add_format(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 0 done, 2 wrong usage or no data."""
    options = parser().parse_args(arguments)

    def body() -> int:
        import json

        from evaluator.benchmarks.ranking import benchmark_scores, print_scores

        report = benchmark_scores(options.dataset, data=options.data)
        if options.format == "json":
            print(json.dumps(report, indent=1))
        else:
            print_scores(report)
        return DONE

    return run_command("evaluator.benchmark", body)


if __name__ == "__main__":
    sys.exit(main())
