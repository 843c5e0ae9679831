"""The paper's widths from its budgets, and the full space beyond them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from latency.table.header import TableHeader, latency_line
from search.optimizer.study import finished_study
from search.problem.baseline import baseline, paper_axes
from search.problem.budget import parse_budgets
from search.problem.latencies import check_latencies
from search.problem.problem import Evaluation, Problem, Table, target_table
from search.problem.shape import IMAGENET, table_shape
from search.result.winners import require_feasible, rivals
from search.result.write import provenance
from space.architectures.shufflenet_v2 import STAGES, ShuffleNetV2Space
from space.common.cli import log
from space.common.text import print_rich, rich_table, shorten
from space.zoo.families import SHUFFLENET_V2

# The FLOPs of the networks in `SHUFFLENET_V2`, as Table 5 prints them.
BUDGETS = ("41M", "146M", "299M", "591M")
PAPER_TRIALS = 40


@dataclass(frozen=True, slots=True)
class PaperAxisResult:
    """Searches on the paper's own axis: `recovered` of `seeds` ended at the paper's widths of
    stages 2-4; `widths` are the most frequent."""

    budget: str
    seeds: int
    recovered: int
    widths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FullSpaceRun:
    """One search against ShuffleNet v2 at the same budget; None: the front has no such network.
    `architecture` is the fastest at the baseline's score or better."""

    seed: int
    speed_up_at_score: float | None
    score_gain_at_latency: float | None
    architecture: str | None


@dataclass(frozen=True, slots=True)
class FullSpaceResult:
    """Searches of the full space at one budget."""

    budget: str
    baseline: str
    baseline_latency_s: float
    baseline_score: float
    seeds: int
    trials: int
    runs: tuple[FullSpaceRun, ...]


@dataclass(frozen=True, slots=True)
class ReproductionResult:
    """What `reproduce` found: one element per budget. `trials`: of a search of the full space."""

    header: TableHeader
    sampler: str
    trials: int
    paper_axes: list[PaperAxisResult]
    full_space: list[FullSpaceResult]

    @property
    def recovered(self) -> bool:
        """Whether every seed ended at the paper's widths."""
        return all(row.recovered == row.seeds for row in self.paper_axes)

    def record(self) -> dict[str, Any]:
        """The result for JSON."""
        return {
            "paper_axes": [asdict(row) for row in self.paper_axes],
            "full_space": [asdict(row) for row in self.full_space],
            "latency": {"target": self.header.target, "source": self.header.source},
            "sampler": self.sampler,
            "trials": {"paper_axes": PAPER_TRIALS, "full_space": self.trials},
            **provenance(),
        }


def reproduce(
    *, target: str, seeds: int, full_seeds: int, trials: int, sampler: str
) -> ReproductionResult:
    """Search the paper's axis `seeds` times at each budget, and the full space `full_seeds` times
    with `trials` trials; logs what is next.

    Raises:
        ValueError: an unknown target or sampler, or a table of other networks.
        InfeasibleError: a search found no network within its budget.
    """
    table = target_table(target)
    if (shape := table_shape(table.header)) != IMAGENET:
        raise ValueError(
            f"--target must be a table of the paper's networks, {IMAGENET}; "
            f"{shorten(table.header.target)} is of {shape}"
        )
    result = ReproductionResult(table.header, sampler, trials, [], [])
    for budget, (widths, head) in zip(BUDGETS, SHUFFLENET_V2.values(), strict=True):
        log(f"{budget}: the paper's axis, {seeds} seeds")
        result.paper_axes.append(paper_axis(table, budget, widths, head, seeds, sampler))
        if full_seeds:
            log(f"{budget}: the whole space, {full_seeds} seeds of {trials} trials")
            result.full_space.append(full_space(table, budget, full_seeds, trials, sampler))
    return result


def paper_axis(
    table: Table, budget: str, expected: tuple[int, ...], head: int, seeds: int, sampler: str
) -> PaperAxisResult:
    """Search the paper's own axis, with its `head`; `expected` widths are only compared with."""
    space = ShuffleNetV2Space()
    problem = Problem(space, table, parse_budgets([budget]), only=paper_axes(space, head))
    check_latencies(problem)
    ends: Counter[tuple[int, ...]] = Counter()
    for seed in range(seeds):
        found = _search(problem, seed, PAPER_TRIALS, sampler)
        best = np.argmax(np.where(found.feasible, found.score, -np.inf))
        architecture = space.architecture(found.genes[best])
        ends[tuple(int(space.value(architecture, f"width{s}")) for s in STAGES)] += 1
    return PaperAxisResult(budget, seeds, ends[expected], ends.most_common(1)[0][0])


def full_space(
    table: Table, budget: str, seeds: int, trials: int, sampler: str
) -> FullSpaceResult:
    """Search the full space and compare with ShuffleNet v2 at the same budget, seed by seed."""
    problem = Problem(ShuffleNetV2Space(), table, parse_budgets([budget]))
    base = baseline(problem)
    assert base is not None  # the paper's budgets hold the paper's networks
    runs = []
    for seed in range(seeds):
        found = _search(problem, seed, trials, sampler)
        as_good, as_fast = rivals(found, base)
        text = problem.text(found.genes[as_good[0]]) if len(as_good) else None
        speed_up = _largest(base.latency_s / found.costs.latency_s[as_good])
        runs.append(
            FullSpaceRun(seed, speed_up, _largest(found.score[as_fast] - base.score), text)
        )
    return FullSpaceResult(
        budget, base.name, base.latency_s, base.score, seeds, trials, tuple(runs)
    )


def _search(problem: Problem, seed: int, trials: int, sampler: str) -> Evaluation:
    found = finished_study(problem, trials, seed=seed, sampler=sampler).evaluated()
    require_feasible(problem, found)
    return found


def _largest(values: np.ndarray) -> float | None:
    return float(values.max()) if len(values) else None


def print_reproduction(result: ReproductionResult) -> None:
    """Print a table of the widths found and, if the full space was searched, one of its gains."""
    options: dict[str, Any] = {"right_from": 0, "box": None, "title_justify": "left"}
    headings = ["budget", "recovered", "widths of stages 2-4"]
    cells = [
        (row.budget, f"{row.recovered} of {row.seeds} seeds", ", ".join(map(str, row.widths)))
        for row in result.paper_axes
    ]
    title = "The paper's axis: widths found"
    print_rich(rich_table(headings, cells, title=title, **options), width=100)
    if not result.full_space:
        return
    headings = ["budget", "baseline", "speed-up at its score", "score gain at its latency"]
    gains = []
    for row in result.full_space:
        speed_ups = _range([run.speed_up_at_score for run in row.runs], "x")
        score_gains = _range([run.score_gain_at_latency for run in row.runs], "")
        gains.append((row.budget, row.baseline, speed_ups, score_gains))
    title = "\nThe whole space against ShuffleNet v2"
    print_rich(
        rich_table(headings, gains, title=title, **options),
        f"\n{latency_line(result.header)}",
        "score: training-free closed form; not an accuracy",
        width=100,
    )


def _range(values: list[float | None], unit: str) -> str:
    """Lowest to highest over the seeds, and how many seeds found nothing."""
    found = [value for value in values if value is not None]
    if not found:
        return "none found"
    missing = "" if len(found) == len(values) else f" ({len(values) - len(found)} seeds: none)"
    return f"{min(found):.2f}{unit} to {max(found):.2f}{unit}{missing}"
