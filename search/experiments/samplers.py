"""Samplers compared at equal trials, beside the bound that no network exceeds."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from search.optimizer.bound import Bounds
from search.optimizer.sampler_names import SAMPLERS
from search.optimizer.study import finished_study
from search.problem.baseline import Baseline, baseline
from search.problem.budget import parse_budgets
from search.problem.problem import Problem, target_table
from space.architectures.shufflenet_v2 import ShuffleNetV2Space


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplersConfig:
    """`seeds` searches of `trials` trials with each sampler."""

    target: str = "arm"
    budget: str = "146M"
    trials: int = 500
    seeds: int = 3


@dataclass(frozen=True, slots=True)
class SamplerRow:
    """One sampler's searches: speed-up over the baseline at its score or better, None where no
    such network was found, and the seconds that each search took."""

    sampler: str
    speed_ups: tuple[float | None, ...]
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SamplerComparison:
    """A row per sampler; no network has a speed-up above `bound`."""

    baseline: str
    trials: int
    bound: float
    rows: tuple[SamplerRow, ...]

    def record(self) -> dict[str, Any]:
        """The comparison for JSON."""
        rows = [asdict(row) for row in self.rows]
        return {"trials": self.trials, "bound": self.bound, "rows": rows}


def compare_samplers(config: SamplersConfig) -> SamplerComparison:
    """Search with each sampler.

    Raises:
        ValueError: an unknown target, a budget of no known form, or one below any ShuffleNet v2.
    """
    table = target_table(config.target)
    problem = Problem(ShuffleNetV2Space(), table, parse_budgets([config.budget]))
    base = baseline(problem)
    if base is None:
        raise ValueError(
            f"samplers are compared at ShuffleNet v2's score; none fits {config.budget}"
        )
    latency_s = float(base.found.costs.latency_s[0])
    bound = latency_s / Bounds(problem).latency_at(float(base.found.score[0]))
    rows, seeds = [], range(config.seeds)
    for sampler in SAMPLERS:
        runs = [_search(problem, sampler, seed, config.trials, base) for seed in seeds]
        speed_ups, seconds = zip(*runs, strict=True)
        rows.append(SamplerRow(sampler, speed_ups, seconds))
    return SamplerComparison(base.name, config.trials, bound, tuple(rows))


def _search(
    problem: Problem, sampler: str, seed: int, trials: int, base: Baseline
) -> tuple[float | None, float]:
    """(speed-up at the baseline's score or better, seconds taken)."""
    start = time.perf_counter()
    found = finished_study(problem, trials, seed=seed, sampler=sampler).evaluated()
    good = found.feasible & (found.score >= base.found.score[0])
    taken = time.perf_counter() - start
    if not good.any():
        return None, taken
    return float(base.found.costs.latency_s[0] / found.costs.latency_s[good].min()), taken


def format_samplers(comparison: SamplerComparison) -> str:
    """The comparison for people, a line per sampler."""
    lines = [
        f"speed-up over {comparison.baseline} at its score or better, {comparison.trials} trials; "
        f"bound {comparison.bound:.3f}x"
    ]
    for row in comparison.rows:
        ups = " ".join("none " if up is None else f"{up:.3f}" for up in row.speed_ups)
        mean_s = sum(row.seconds) / len(row.seconds)
        lines.append(f"{row.sampler:12} {ups}   {mean_s:.1f} s a search")
    return "\n".join(lines)
