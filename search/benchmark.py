"""How fast scoring is, and how good samplers are: `python -m search.benchmark scoring`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from space.command import DONE, Parser, run_command


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


def _scoring(args: argparse.Namespace) -> int:
    import numpy as np

    from search.run import target_table
    from space.costs import CostModel
    from space.shufflenet_v2 import ShuffleNetV2Space

    if args.architectures < 1 or args.repeats < 1:
        raise ValueError("--architectures and --repeats must be at least 1")
    space = ShuffleNetV2Space()
    model = CostModel(space, target_table(args.target).predict)
    genes = space.sample(args.architectures, np.random.default_rng(args.seed))
    start = time.perf_counter()
    model.costs(genes[:1])
    tables_s = time.perf_counter() - start
    seconds = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        model.costs(genes)
        seconds.append(time.perf_counter() - start)
    rates = sorted(args.architectures / second for second in seconds)
    found = {
        "architectures_per_s": rates[len(rates) // 2],
        "slowest": rates[0],
        "fastest": rates[-1],
        "architectures": args.architectures,
        "repeats": args.repeats,
        "threads": 1,
        "tables_built_s": tables_s,
        "target": args.target,
    }
    if args.format == "json":
        print(json.dumps(found, indent=2))
    else:
        print(
            f"{rates[len(rates) // 2] / 1e6:.1f} million architectures/s, one thread "
            f"({rates[0] / 1e6:.1f} to {rates[-1] / 1e6:.1f} in {args.repeats} repeats of "
            f"{args.architectures:,}); tables built in {tables_s:.2f} s"
        )
    return DONE


def _samplers(args: argparse.Namespace) -> int:
    from search.baseline import baseline
    from search.bound import Bounds
    from search.budget import parse_budgets
    from search.problem import Problem
    from search.run import target_table
    from search.study import SAMPLERS
    from space.shufflenet_v2 import ShuffleNetV2Space

    if args.trials < 1 or args.seeds < 1:
        raise ValueError("--trials and --seeds must be at least 1")
    table = target_table(args.target)
    problem = Problem(ShuffleNetV2Space(), table, parse_budgets([args.budget]))
    base = baseline(problem)
    if base is None:
        raise ValueError(
            f"samplers are compared at ShuffleNet v2's score; none fits {args.budget}"
        )
    score, latency = float(base.found.score[0]), float(base.found.costs.latency_s[0])
    bound = latency / Bounds(problem).latency_at(score)
    rows: list[dict[str, Any]] = []
    for sampler in SAMPLERS:
        runs = [_speed_up(problem, sampler, seed, args.trials, score, latency)
                for seed in range(args.seeds)]  # fmt: skip
        rows.append({"sampler": sampler, "speed_ups": [u for u, _ in runs],
                     "seconds": [s for _, s in runs]})  # fmt: skip
    if args.format == "json":
        print(json.dumps({"trials": args.trials, "bound": bound, "rows": rows}, indent=2))
        return DONE
    print(f"speed-up over {base.name} at its score or better, {args.trials} trials; bound "
          f"{bound:.3f}x")  # fmt: skip
    for row in rows:
        shown = " ".join("none " if u is None else f"{u:.3f}" for u in row["speed_ups"])
        print(f"{row['sampler']:12} {shown}   {sum(row['seconds']) / args.seeds:.1f} s a search")
    return DONE


def _speed_up(
    problem: Any, sampler: str, seed: int, trials: int, score: float, latency: float
) -> tuple[float | None, float]:
    """(speed-up at `score` or better, None if nothing that good was found; seconds taken)."""
    from search.study import Study

    start = time.perf_counter()
    study = Study.open(problem, seed=seed, sampler=sampler)
    for _ in study.run(trials):
        pass
    found = study.evaluated()
    good = found.feasible & (found.score >= score)
    taken = time.perf_counter() - start
    return (latency / found.costs.latency_s[good].min() if good.any() else None), taken


if __name__ == "__main__":
    sys.exit(main())
