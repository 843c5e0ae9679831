"""How fast scoring is, and what each sampler finds in the same number of trials."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from search.optimizer import SAMPLERS
from search.optimizer.bound import Bounds
from search.optimizer.study import finished_study
from search.problem.baseline import baseline
from search.problem.budget import parse_budgets
from search.problem.latencies import check_latencies
from search.problem.problem import Problem, target_table
from search.problem.shape import table_shape
from search.result.winners import rivals
from space.cost.lookup import CostModel

BUDGET = "146M"  # of the problem that is scored; scoring does not depend on it


def measure_scoring(*, target: str, architectures: int, repeats: int, seed: int) -> dict[str, Any]:
    """Time FLOPs, parameters, latency and G1-G4 of random architectures, on one thread.

    Returns:
        The record for JSON: architectures per second, the median of the `repeats`, and seconds.

    Raises:
        ValueError: an unknown target, or a table that cannot price the space.
    """
    problem = _problem(target, BUDGET)
    space = problem.space
    model = CostModel(space, problem.table.predict)  # one without tables, which are timed
    genes = space.sample(architectures, np.random.default_rng(seed))

    def timed(rows: int) -> float:
        start = time.perf_counter()
        model.costs(genes[:rows])
        return time.perf_counter() - start

    tables_s = timed(1)
    rates = sorted(architectures / timed(architectures) for _ in range(repeats))
    return {
        "architectures_per_s": rates[repeats // 2],
        "slowest": rates[0],
        "fastest": rates[-1],
        "architectures": architectures,
        "repeats": repeats,
        "threads": 1,
        "tables_built_s": tables_s,
        "target": target,
    }


def _problem(target: str, budget: str) -> Problem:
    table = target_table(target)
    problem = Problem(table_shape(table.header).space, table, parse_budgets([budget]))
    check_latencies(problem)
    return problem


def format_scoring(found: Mapping[str, Any]) -> str:
    """One line for people."""
    return (
        f"{found['architectures_per_s'] / 1e6:.1f} million architectures/s, one thread "
        f"({found['slowest'] / 1e6:.1f} to {found['fastest'] / 1e6:.1f} in {found['repeats']} "
        f"repeats of {found['architectures']:,}); tables built in {found['tables_built_s']:.2f} s"
    )


def compare_samplers(
    *, target: str, budget: str, trials: int, seeds: int
) -> tuple[str, dict[str, Any]]:
    """Run `seeds` searches of `trials` trials with each sampler.

    Returns:
        The name of the baseline, and the record for JSON. It has the bound that no speed-up
        exceeds, and of each sampler the speed-up of every search over the baseline, at its score
        or better (None: no such network was found), and the seconds.

    Raises:
        ValueError: an unknown target, a budget of no known form, or one below any ShuffleNet v2.
    """
    problem = _problem(target, budget)
    base = baseline(problem)
    if base is None:
        raise ValueError(f"samplers are compared at ShuffleNet v2's score; none fits {budget}")
    bound = base.latency_s / Bounds(problem).latency_at(base.score)
    rows = []
    for sampler in SAMPLERS:
        row: dict[str, Any] = {"sampler": sampler, "speed_ups": [], "seconds": []}
        for seed in range(seeds):
            start = time.perf_counter()
            found = finished_study(problem, trials, seed=seed, sampler=sampler).evaluated()
            as_good, _ = rivals(found, base)
            row["seconds"].append(time.perf_counter() - start)
            speed_ups = (base.latency_s / found.costs.latency_s[as_good]).tolist()
            row["speed_ups"].append(speed_ups[0] if speed_ups else None)
        rows.append(row)
    return base.name, {"trials": trials, "bound": bound, "rows": rows}


def format_samplers(baseline_name: str, found: Mapping[str, Any]) -> str:
    """The comparison for people, a line per sampler."""
    lines = [
        f"speed-up over {baseline_name} at its score or better, {found['trials']} trials; "
        f"bound {found['bound']:.3f}x"
    ]
    for row in found["rows"]:
        ups = " ".join("none " if up is None else f"{up:.3f}" for up in row["speed_ups"])
        lines.append(f"{row['sampler']:12} {ups}   {np.mean(row['seconds']):.1f} s a search")
    return "\n".join(lines)
