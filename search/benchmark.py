"""How fast scoring is, and how good samplers are: `python -m search.benchmark scoring`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from space.common.cli import DONE, Parser, add_format, check_least, run_command


def parser() -> Parser:
    """The command line."""
    result = Parser(
        prog="python -m search.benchmark",
        description="scoring: architectures per second for FLOPs, parameters, latency and G1-G4 "
        "together. samplers: what each sampler finds in the same number of trials, beside the "
        "bound that no network exceeds.",
    )
    result.add_argument("what", choices=("scoring", "samplers"))
    result.add_argument("--target", default="arm", help="default: %(default)s")
    result.add_argument("--budget", default="146M", help="samplers; default: %(default)s")
    result.add_argument("--architectures", type=int, default=2_000_000, help="scoring")
    result.add_argument("--repeats", type=int, default=5, help="scoring")
    result.add_argument("--trials", type=int, default=500, help="samplers")
    result.add_argument("--seeds", type=int, default=3, help="samplers")
    result.add_argument("--seed", type=int, default=0, help="scoring")
    add_format(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(arguments)
    body = _scoring if args.what == "scoring" else _samplers
    return run_command("search.benchmark", lambda: body(args))


def _scoring(args: argparse.Namespace) -> int:
    check_least(vars(args), {"architectures": 1, "repeats": 1, "seed": 0})
    from search.experiments.benchmark import format_scoring, measure_scoring

    found = measure_scoring(
        target=args.target,
        architectures=args.architectures,
        repeats=args.repeats,
        seed=args.seed,
    )
    print(json.dumps(found, indent=2) if args.format == "json" else format_scoring(found))
    return DONE


def _samplers(args: argparse.Namespace) -> int:
    check_least(vars(args), {"trials": 1, "seeds": 1})
    from search.experiments.benchmark import compare_samplers, format_samplers

    base, found = compare_samplers(
        target=args.target, budget=args.budget, trials=args.trials, seeds=args.seeds
    )
    as_json = args.format == "json"
    print(json.dumps(found, indent=2) if as_json else format_samplers(base, found))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
