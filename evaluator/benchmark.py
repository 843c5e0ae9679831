"""How good are the estimate and the scores on networks that others trained?
`python -m evaluator.benchmark DIR`"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from evaluator.benchmarks import DATASETS
from space.common.cli import DONE, Parser, add_format, run_command


def parser() -> Parser:
    """The options of the command."""
    parser = Parser(
        prog="python -m evaluator.benchmark",
        description="With a folder of tables: the accuracy estimate on each source, fitted "
        "without it: rank at equal FLOPs, coverage of its intervals, and the pooled effects. With "
        "a table's name: the rank correlation of each training-free score with accuracy, over all "
        "networks and within deciles of FLOPs (mean of ten).",
    )
    parser.add_argument(
        "dataset",
        nargs="?",
        metavar="DIR|TABLE",
        help=f"a folder of tables, or one of {', '.join(DATASETS)} (default: the folder --data)",
    )
    parser.add_argument("--data", metavar="DIR", help="folder of tables (default: $G4NAS_DATA)")
    parser.add_argument(
        "--write", metavar="FILE", help="write the estimate that is fitted on all sources"
    )
    parser.add_argument("--picture", metavar="FILE", help="draw curve, effects and errors (PNG)")
    add_format(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; 0 done, 2 wrong usage or no data."""
    options = parser().parse_args(arguments)

    def body() -> int:
        import json
        from pathlib import Path

        if options.dataset in DATASETS:
            from evaluator.benchmarks.ranking import benchmark_scores, print_scores

            if options.write or options.picture:
                option = "--write" if options.write else "--picture"
                raise ValueError(f"{option} needs a folder of tables; got {options.dataset}")
            report, show = benchmark_scores(options.dataset, data=options.data), print_scores
        else:
            from evaluator.estimate.leave_out import leave_one_out
            from evaluator.estimate.report import print_leave_one_out

            if options.dataset is not None and not Path(options.dataset).is_dir():
                raise ValueError(
                    f"must be a folder of tables, or one of {', '.join(DATASETS)}; "
                    f"got {options.dataset!r}"
                )
            folder = options.dataset or options.data
            report = leave_one_out(folder, write=options.write, picture=options.picture)
            show = print_leave_one_out
        if options.format == "json":
            print(json.dumps(report, indent=1))
        else:
            show(report)
        return DONE

    return run_command("evaluator.benchmark", body)


if __name__ == "__main__":
    sys.exit(main())
