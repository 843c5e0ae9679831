"""Does latency-aware search keep a guideline by itself? `python -m search.ablation`

One search keeps all four guidelines; for each guideline another one drops its limit and opens the
axes that break it. Compared are the fastest network at ShuffleNet v2's score, its choices on the
open axes, and the share of the Pareto front that still meets the dropped limit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from space.common.cli import DONE, Parser, add_format, check_range, run_command


def parser() -> Parser:
    """The command line."""
    result = Parser(
        prog="python -m search.ablation",
        description="Search with each guideline dropped in turn, its axes open, and see whether "
        "the search returns to it by itself.",
    )
    result.add_argument("--target", default="arm", help="default: %(default)s")
    result.add_argument("--budget", action="append", default=[], help="default: 146M")
    result.add_argument("--trials", type=int, default=500, help="default: %(default)s")
    result.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    add_format(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(arguments)
    return run_command("search.ablation", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    check_range(vars(args), "trials", "seeds")
    from search.experiments.ablation import print_ablation, run_ablation

    budgets = tuple(args.budget or ["146M"])
    result = run_ablation(
        target=args.target, budgets=budgets, trials=args.trials, seeds=args.seeds
    )
    if args.format == "json":
        print(json.dumps(result.record(), indent=2))
    else:
        print_ablation(result)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
