"""Scoring speed, and samplers compared at equal trials."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from space.common.cli import DONE


def _scoring(args: argparse.Namespace) -> int:
    import numpy as np

    from search.problem.target import target_table
    from space.architectures.shufflenet_v2 import ShuffleNetV2Space
    from space.cost.lookup import CostModel

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
    from search.optimizer.bound import Bounds
    from search.optimizer.sampler_names import SAMPLERS
    from search.problem.baseline import baseline
    from search.problem.budget import parse_budgets
    from search.problem.problem import Problem
    from search.problem.target import target_table
    from space.architectures.shufflenet_v2 import ShuffleNetV2Space

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
    from search.optimizer.study import Study

    start = time.perf_counter()
    study = Study.open(problem, seed=seed, sampler=sampler)
    for _ in study.run(trials):
        pass
    found = study.evaluated()
    good = found.feasible & (found.score >= score)
    taken = time.perf_counter() - start
    return (latency / found.costs.latency_s[good].min() if good.any() else None), taken
