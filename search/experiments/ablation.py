"""Drop each guideline in turn: does the search return to it by itself?"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from latency.table.header import TableHeader, latency_line
from search.optimizer.study import finished_study
from search.problem.baseline import Baseline, baseline
from search.problem.budget import parse_budgets
from search.problem.problem import Evaluation, Problem, target_table
from search.result.winners import front, rivals
from search.result.write import provenance
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.cli import log
from space.common.stats import mean_of
from space.common.text import print_rich, rich_table
from space.cost.guidelines import NAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationRun:
    """One search. Its winner is the fastest network at the baseline's score or better; None where
    no guideline was dropped or no network won.

    Args:
        front, front_within_limit: the size of the Pareto front, and its share within the dropped
            limit.
        choices: the winner's choices on the axes that dropping opened.
        speed_up: baseline's latency / winner's latency.
        value, within_limit: the winner's value of the dropped guideline.
    """

    front: int
    front_within_limit: float | None = None
    choices: dict[str, str] = field(default_factory=dict)
    speed_up: float | None = None
    architecture: str | None = None
    value: float | None = None
    within_limit: bool | None = None

    def record(self) -> dict[str, Any]:
        """The run for JSON, without what does not apply."""
        optional = ("architecture", "value", "within_limit")
        return {k: v for k, v in asdict(self).items() if v is not None or k not in optional}


@dataclass(frozen=True, slots=True)
class AblationRow:
    """The runs without one guideline; `dropped` None: with all four."""

    dropped: str | None
    baseline: str
    runs: tuple[AblationRun, ...]


@dataclass(frozen=True, slots=True)
class AblationResult:
    """A row with all guidelines, then one without each, of `seeds` searches of `trials` trials."""

    trials: int
    seeds: int
    header: TableHeader
    rows: tuple[AblationRow, ...]

    def record(self) -> dict[str, Any]:
        """The result for JSON."""
        rows = [{**asdict(row), "runs": [r.record() for r in row.runs]} for row in self.rows]
        return {
            "rows": rows,
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
        ValueError: an unknown target, or no ShuffleNet v2 is within the budgets.
    """
    limits, table = parse_budgets(budgets), target_table(target)
    rows = []
    for dropped in (None, *NAMES):
        log(f"{dropped or 'all guidelines kept'}: {seeds} seeds of {trials} trials")
        relaxed = () if dropped is None else (dropped,)
        problem = Problem(ShuffleNetV2Space(), table, limits, relaxed)
        base = baseline(problem)
        if base is None:
            raise ValueError("no ShuffleNet v2 is within the budget; give a larger one")
        runs = []
        for seed in range(seeds):
            found = finished_study(problem, trials, seed=seed).evaluated()
            runs.append(_summarize(problem, found, base, dropped))
        rows.append(AblationRow(dropped, base.name, tuple(runs)))
    return AblationResult(trials, seeds, table.header, tuple(rows))


def _summarize(
    problem: Problem, found: Evaluation, base: Baseline, dropped: str | None
) -> AblationRun:
    rows = front(found)
    result: dict[str, Any] = {"front": len(rows)}
    if dropped is not None:
        values, limit = getattr(found.costs, dropped), getattr(problem.limits, dropped)
        result["front_within_limit"] = float(np.mean(values[rows] <= limit)) if len(rows) else None
    as_good, _ = rivals(found, base)
    if not len(as_good):
        return AblationRun(**result)
    best = int(as_good[0])
    result["speed_up"] = float(base.latency_s / found.costs.latency_s[best])
    result["architecture"] = problem.text(found.genes[best])
    if dropped is not None:
        architecture = problem.space.architecture(found.genes[best])
        result["value"] = float(values[best])
        result["within_limit"] = result["value"] <= limit
        result["choices"] = {
            parameter.name: str(problem.space.value(architecture, parameter.name))
            for parameter in problem.space.parameters
            if parameter.breaks == dropped
        }
    return AblationRun(**result)


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
    ups = " ".join("none" if r.speed_up is None else f"{r.speed_up:.2f}x" for r in runs)
    if row.dropped is None:
        return ("none", ups, "-", "-", "-")
    within = sum(bool(run.within_limit) for run in runs)
    share = mean_of(run.front_within_limit for run in runs) or 0.0
    choices = "; ".join(", ".join(f"{k} {v}" for k, v in run.choices.items()) for run in runs)
    return (row.dropped.upper(), ups, f"{within} of {len(runs)}", f"{share:.0%}", choices)
