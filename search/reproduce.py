"""Does the search find the paper's answer by itself? `python -m search.reproduce`

First only the paper's own axis is open: widths that double per stage, with depths 4, 8, 4, split
1/2, kernel 3, stem 24 and the head of Table 5. From a FLOPs budget and G1-G4 the search must find
Table 5's widths, which it does not know. Then the full space is open, and the best network is
compared with ShuffleNet v2 at the same budget.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from search.optimizer import SAMPLERS
from space.common.cli import DONE, NO_ANSWER, Parser, add_format, check_range, run_command


def parser() -> Parser:
    """The command line."""
    result = Parser(
        prog="python -m search.reproduce",
        description="Recover the widths of the paper's Table 5 from its FLOPs budgets, then see "
        "how far the whole space gets beyond them.",
    )
    result.add_argument("--target", default="arm", help="default: %(default)s")
    result.add_argument("--seeds", type=int, default=10, help="for the paper's axis; default 10")
    result.add_argument("--full-seeds", type=int, default=3, help="for the whole space; default 3")
    result.add_argument("--trials", type=int, default=500, help="for the whole space; default 500")
    add = result.add_argument
    add("--sampler", default="prescreened", choices=SAMPLERS, help="default: %(default)s")
    add_format(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 if some seed did not recover the paper's widths."""
    args = parser().parse_args(arguments)
    return run_command("search.reproduce", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    check_range(vars(args), "seeds", "trials", full_seeds=(0, 1000))
    from search.experiments.reproduction import print_reproduction, reproduce

    result = reproduce(
        target=args.target,
        seeds=args.seeds,
        full_seeds=args.full_seeds,
        trials=args.trials,
        sampler=args.sampler,
    )
    if args.format == "json":
        print(json.dumps(result.record(), indent=2))
    else:
        print_reproduction(result)
    return DONE if result.recovered else NO_ANSWER


if __name__ == "__main__":
    sys.exit(main())
