"""How well does a predictor rank? `python -m evaluator.predictor nats-sss`"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from evaluator.predictor import SOURCES
from space.common.cli import DONE, Parser, add_format, run_command


def parser() -> Parser:
    """The options of the command."""
    parser = Parser(
        prog="python -m evaluator.predictor",
        description="Rank correlation of predictions from a few labels with the accuracy of the "
        "networks that were not labelled, over random draws of labels. Labels and judged networks "
        "are of the half of the table that nothing was designed or fitted on; the prior is of the "
        "other sources.",
    )
    parser.add_argument("dataset", choices=SOURCES)
    parser.add_argument(
        "--labels", metavar="N,N", default="0,10,20,40,50,100", help="default: %(default)s"
    )
    parser.add_argument("--draws", type=int, default=20, metavar="N", help="default: 20")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the first draw")
    parser.add_argument("--data", metavar="DIR", help="folder of tables (default: $G4NAS_DATA)")
    add_format(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rank correlations; 0 done, 2 wrong usage or no data."""
    options = parser().parse_args(arguments)

    def body() -> int:
        import json

        from evaluator.predictor.benchmark import benchmark_predictor, print_report

        words = options.labels
        try:
            labels = [int(word) for word in words.split(",")]
        except ValueError:
            raise ValueError(f"--labels must be whole numbers, as 20,50; got {words!r}") from None
        report = benchmark_predictor(
            options.dataset, labels, draws=options.draws, seed=options.seed, data=options.data
        )
        if options.format == "json":
            print(json.dumps(report, indent=1))
        else:
            print_report(report)
        return DONE

    return run_command("evaluator.predictor", body)


if __name__ == "__main__":
    sys.exit(main())
