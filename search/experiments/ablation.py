"""Drop each guideline in turn: does the search return to it by itself?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from latency.table.header import TableHeader, latency_line
from search.optimizer.study import finished_study
from search.problem.baseline import Baseline, baseline
from search.problem.budget import parse_budgets
from search.problem.latencies import check_latencies
from search.problem.problem import Evaluation, Problem, target_table
from search.problem.shape import table_shape
from search.result.winners import front, rivals
from search.result.write import provenance
from space.common.cli import log
from space.common.stats import mean_of
from space.common.text import print_rich, rich_table
from space.cost.guidelines import NAMES


@dataclass(frozen=True, slots=True)
class AblationRow:
    """The runs without one guideline; `dropped` None: with all four.

    Each run is a record of one search. Its winner is the fastest network at the baseline's score
    or better. What does not apply is None, or absent from the last three:

    - front, front_within_limit: the size of the Pareto front, and its share within the limit;
    - choices: the winner's choices on the axes that dropping opened;
    - speed_up: the baseline's latency / the winner's;
    - architecture, value, within_limit: the winner, and its value of the dropped guideline.
    """

    dropped: str | None
    baseline: str
    runs: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class AblationResult:
    """A row with all guidelines, then one without each, of `seeds` searches of `trials` trials."""

    trials: int
    seeds: int
    header: TableHeader
    rows: tuple[AblationRow, ...]

    def record(self) -> dict[str, Any]:
        """The result for JSON."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "trials": self.trials,
            "seeds": self.seeds,
            "latency": {"target": self.header.target, "source": self.header.source},
            **provenance(),
        }


def run_ablation(
    *, target: str, budgets: tuple[str, ...], trials: int, seeds: int
) -> AblationResult:
    """Search with all guidelines, then without each; logs what is next.

    Raises:
        ValueError: an unknown target, a table that cannot price the space, or no ShuffleNet v2
            is within the budgets.
    """
    limits, table = parse_budgets(budgets), target_table(target)
    space = table_shape(table.header).space
    rows = []
    for dropped in (None, *NAMES):
        log(f"{dropped or 'all guidelines kept'}: {seeds} seeds of {trials} trials")
        relaxed = () if dropped is None else (dropped,)
        problem = Problem(space, table, limits, relaxed)
        check_latencies(problem)
        base = baseline(problem)
        if base is None:
            raise ValueError("no ShuffleNet v2 is within the budget; give a larger one")
        runs = []
        for seed in range(seeds):
            found = finished_study(problem, trials, seed=seed).evaluated()
            runs.append(_summarize(problem, found, base, dropped))
        rows.append(AblationRow(dropped, base.name, runs))
    return AblationResult(trials, seeds, table.header, tuple(rows))


def _summarize(
    problem: Problem, found: Evaluation, base: Baseline, dropped: str | None
) -> dict[str, Any]:
    rows = front(found)
    run: dict[str, Any] = {
        "front": len(rows), "front_within_limit": None, "choices": {}, "speed_up": None
    }  # fmt: skip
    if dropped is not None:
        values, limit = getattr(found.costs, dropped), getattr(problem.limits, dropped)
        run["front_within_limit"] = float(np.mean(values[rows] <= limit)) if len(rows) else None
    as_good, _ = rivals(found, base)
    if not len(as_good):
        return run
    best = int(as_good[0])
    run["speed_up"] = float(base.latency_s / found.costs.latency_s[best])
    run["architecture"] = problem.text(found.genes[best])
    if dropped is not None:
        space, architecture = problem.space, problem.space.architecture(found.genes[best])
        run["value"] = float(values[best])
        run["within_limit"] = run["value"] <= limit
        run["choices"] = {
            each.name: str(space.value(architecture, each.name))
            for each in space.parameters
            if each.breaks == dropped
        }
    return run


def print_ablation(result: AblationResult) -> None:
    """Print a row per guideline."""
    headings = ("dropped", "speed-up at the baseline's score", "winners within its limit",
                "front within it", "choices of the winners")  # fmt: skip
    print_rich(
        rich_table(headings, [_cells(row) for row in result.rows], right_from=len(headings),
                   box=None, pad_edge=False),
        f"\n{latency_line(result.header)}",
        "score: training-free closed form; what it says of axes that break a guideline is "
        "reasoned, not measured (docs/reference/training-free-score.md)",
        width=110,
    )  # fmt: skip


def _cells(row: AblationRow) -> tuple[str, ...]:
    runs = row.runs
    ups = " ".join("none" if r["speed_up"] is None else f"{r['speed_up']:.2f}x" for r in runs)
    if row.dropped is None:
        return ("none", ups, "-", "-", "-")
    within = sum(run.get("within_limit", False) for run in runs)
    share = mean_of(run["front_within_limit"] for run in runs) or 0.0
    choices = "; ".join(", ".join(f"{k} {v}" for k, v in r["choices"].items()) for r in runs)
    return (row.dropped.upper(), ups, f"{within} of {len(runs)}", f"{share:.0%}", choices)
