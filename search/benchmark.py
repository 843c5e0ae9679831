"""How fast scoring is, and how good samplers are: `python -m search.benchmark scoring`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from search.experiments.samplers import _samplers, _scoring
from space.common.cli import Parser, run_command


def parser() -> argparse.ArgumentParser:
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
    result.add_argument("--format", choices=("table", "json"), default="table")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(argv)
    run = _scoring if args.what == "scoring" else _samplers
    return run_command("search.benchmark", lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
