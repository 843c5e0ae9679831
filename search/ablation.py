"""Does latency-aware search keep a guideline that nobody asks for? `python -m search.ablation`

One search keeps all four guidelines; one for each of them drops its limit and opens the axes that
break it. What is compared: the fastest network at ShuffleNet v2's score, the choices it makes on
the open axes, and how much of the Pareto front still meets the limit that was dropped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from search.experiments.ablation import GUIDELINES, _print, _record, ablate
from space.common.cli import DONE, Parser, log, run_command


def parser() -> argparse.ArgumentParser:
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
    result.add_argument("--format", choices=("table", "json"), default="table")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(argv)
    return run_command("search.ablation", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from search.problem.budget import parse_budgets
    from search.problem.target import target_table

    if min(args.trials, args.seeds) < 1:
        raise ValueError("--trials and --seeds must be at least 1")
    budgets = parse_budgets(args.budget or ["146M"])
    table = target_table(args.target)
    rows = []
    for dropped in ("", *GUIDELINES):
        log(f"{dropped or 'all guidelines kept'}: {args.seeds} seeds of {args.trials} trials")
        rows.append(ablate(table, budgets, dropped, args.seeds, args.trials))
    if args.format == "json":
        print(json.dumps(_record(args, rows, table), indent=2))
    else:
        _print(rows, table)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
