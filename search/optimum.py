"""The best network of the space, proven. `python -m search.optimum`

Of all networks within the budgets: the fastest that scores at least as high as ShuffleNet v2, and
the highest score that is at least as fast. Where the time does not suffice for a proof, how far
the network may be from the best.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from evaluator.estimate import RECIPES
from space.common.cli import DONE, Parser, add_format, check_range, run_command

SCORES = ("estimate", "closed-form")


def parser() -> Parser:
    """The command line."""
    result = Parser(
        prog="python -m search.optimum",
        description="Find the fastest network at ShuffleNet v2's score and the best score at its "
        "latency, of all networks within the budgets, and prove it.",
    )
    add = result.add_argument
    add("--target", default="arm", help="default: %(default)s")
    add("--budget", action="append", default=[], help="default: 146M")
    add("--score", choices=SCORES, default=SCORES[0], help="default: %(default)s")
    add("--estimate-recipe", default=RECIPES[0], choices=RECIPES, help="default: %(default)s")
    add("--optimism", type=float, default=0.0, metavar="X", help="of the estimate, as of "
        "search.run; at most 1; default: %(default)s")  # fmt: skip
    add("--seconds", type=float, default=10.0, help="for each proof; default: %(default)s")
    add_format(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(arguments)
    return run_command("search.optimum", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    check_range(vars(args), optimism=(-10, 1), seconds=(0.001, 86_400))
    from search.optimizer.exact.report import print_winners, prove_winners

    result = prove_winners(
        target=args.target,
        budgets=tuple(args.budget or ["146M"]),
        score=args.score,
        recipe=args.estimate_recipe,
        optimism=args.optimism,
        seconds=args.seconds,
    )
    if args.format == "json":
        print(json.dumps(result.record(), indent=2))
    else:
        print_winners(result)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
