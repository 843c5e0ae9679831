"""The two ends of a search, proven: the fastest network at the baseline's score, and the best
score at its latency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evaluator.estimate import RECIPES
from latency.table.header import latency_line
from search.optimizer.exact.optimum import SECONDS, Optimum, optimum
from search.optimizer.exact.pieces import pieces_of
from search.problem.baseline import Baseline, baseline
from search.problem.budget import parse_budgets, scaled
from search.problem.estimate_score import why_no_estimate, with_estimate
from search.problem.latencies import check_latencies
from search.problem.problem import Problem, target_table
from search.problem.shape import table_shape
from space.common.cli import log
from space.common.text import print_rich, rich_table

ESTIMATE, SCORES = "estimate", ("estimate", "closed-form")
ROLES = {
    "fastest": "fastest at the baseline's score or better",
    "best": "best score at the baseline's latency or less",
}


@dataclass(frozen=True, slots=True)
class ProvenWinners:
    """What `prove_winners` found: an optimum by the names of `ROLES`."""

    problem: Problem
    base: Baseline
    optima: dict[str, Optimum]

    def record(self) -> dict[str, Any]:
        """The result for JSON; latencies in seconds."""
        header = self.problem.table.header
        return {
            "target": header.target,
            "budgets": [str(budget) for budget in self.problem.budgets],
            "score": self.problem.score.identity,
            "baseline": {
                "name": self.base.name,
                "latency_s": self.base.latency_s,
                "score": self.base.score,
            },
            **{name: _record(self.problem, found) for name, found in self.optima.items()},
        }


def prove_winners(
    *,
    target: str,
    budgets: tuple[str, ...],
    score: str = ESTIMATE,
    recipe: str = RECIPES[0],
    optimism: float = 0.0,
    seconds: float = SECONDS,
) -> ProvenWinners:
    """Both optima of one search.

    Args:
        target: a name or the path of a table.
        score: one of `SCORES`; networks without an estimate have the closed form.
        recipe: that the estimate is of.
        optimism: standard deviations that are added to the estimate, 1 at most.
        seconds: for each.

    Raises:
        ValueError: an unknown target or score, a table that cannot price the space, no ShuffleNet
            v2 within the budgets, an optimism above 1, or no time.
        InfeasibleError: no network keeps the limits.
    """
    if score not in SCORES:
        raise ValueError(f"--score must be one of {', '.join(SCORES)}; got {score}")
    limits, table = parse_budgets(budgets), target_table(target)
    problem = Problem(table_shape(table.header).space, table, limits)
    check_latencies(problem)
    if score == ESTIMATE:
        if why := why_no_estimate(problem):
            log(f"the closed form is the score: {why}")
        else:
            problem = with_estimate(problem, recipe=recipe, optimism=optimism)
    base = baseline(problem)
    if base is None:
        raise ValueError("no ShuffleNet v2 is within the budget; give a larger one")
    pieces = pieces_of(problem)
    best = optimum(problem, "score", most_latency_s=base.latency_s, seconds=seconds, pieces=pieces)
    fastest = optimum(problem, "latency", least_score=base.score, seconds=seconds, pieces=pieces)
    return ProvenWinners(problem, base, {"fastest": fastest, "best": best})


def print_winners(result: ProvenWinners) -> None:
    """Print a row for each, and their architectures."""
    base = result.base
    rows = [(base.name, scaled(base.latency_s, "latency_s"), f"{base.score:.3f}", "baseline", "")]
    lines = []
    for name, found in result.optima.items():
        latency, score = "-", "-"
        if found.found is not None:
            latency = scaled(float(found.found.costs.latency_s[0]), "latency_s")
            score = f"{float(found.found.score[0]):.3f}"
            lines.append(f"{name}: {result.problem.text(found.found.genes[0])}")
        rows.append((ROLES[name], latency, score, found.line(), f"{found.seconds:.1f} s"))
    print_rich(
        rich_table(("network", "latency", "score", "proof", "time"), rows, right_from=1, box=None,
                   pad_edge=False),
        "\n" + "\n".join(lines),
        latency_line(result.problem.table.header),
        result.problem.score.line,
        width=125,
    )  # fmt: skip


def _record(problem: Problem, found: Optimum) -> dict[str, Any]:
    row = found.found
    return {
        "architecture": None if row is None else problem.text(row.genes[0]),
        "latency_s": None if row is None else float(row.costs.latency_s[0]),
        "score": None if row is None else float(row.score[0]),
        "bound": found.bound,
        "proven": found.proven,
        "gap": None if row is None else found.gap,
        "left": found.left,
        "networks": found.networks,
        "seconds": found.seconds,
    }
