"""How fast scoring is, and how good samplers are: `python -m search.benchmark scoring`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from space.common.cli import DONE, Parser, add_format, check_range, run_command


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
    return run_command("search.benchmark", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    ranges = {"architectures": (1, 5_000_000), "repeats": (1, 1000)}
    check_range(vars(args), "seed", "seeds", "trials", **ranges)
    from search.experiments import benchmark

    target = args.target
    if args.what == "scoring":
        options = {"architectures": args.architectures, "repeats": args.repeats}
        found = benchmark.measure_scoring(target=target, seed=args.seed, **options)
        text = benchmark.format_scoring(found)
    else:
        options = {"trials": args.trials, "seeds": args.seeds}
        base, found = benchmark.compare_samplers(target=target, budget=args.budget, **options)
        text = benchmark.format_samplers(base, found)
    print(json.dumps(found, indent=2) if args.format == "json" else text)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
