"""The paper's widths from its budgets, and the whole space beyond them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.problem.axes import Axes
    from search.problem.problem import Problem, Table
    from space.architectures.shufflenet_v2 import ShuffleNetV2Space

# Budgets as Table 5 prints them, and the head it gives each network.
BUDGETS = {"41M": 1024, "146M": 1024, "299M": 1024, "591M": 2048}
PAPER_TRIALS = 40


def paper_axis(table: Table, budget: str, head: int, seeds: int, sampler: str) -> dict[str, Any]:
    """Search the paper's own axis; `recovered` counts the seeds that end at Table 5's widths."""
    import numpy as np

    from search.problem.baseline import paper_axes
    from space.architectures.shufflenet_v2 import STAGES
    from space.zoo.families import SHUFFLENET_V2

    problem = _problem(table, budget, lambda space: paper_axes(space, head))
    ends = []
    for seed in range(seeds):
        found = _searched(problem, seed, PAPER_TRIALS, sampler)
        best = int(np.argmax(np.where(found.feasible, found.score, -np.inf)))
        architecture = problem.space.architecture(found.genes[best])
        ends.append(tuple(int(problem.space.value(architecture, f"width{s}")) for s in STAGES))
    expected = dict(zip(BUDGETS, (widths for widths, _ in SHUFFLENET_V2.values()), strict=True))
    recovered = sum(end == expected[budget] for end in ends)
    common = max(set(ends), key=ends.count)
    return {"budget": budget, "seeds": seeds, "recovered": recovered, "widths": list(common)}


def full_space(table: Table, budget: str, seeds: int, trials: int, sampler: str) -> dict[str, Any]:
    """Search the whole space and compare with ShuffleNet v2 at the same budget, seed by seed."""
    from search.problem.baseline import baseline
    from search.result.winners import front

    problem = _problem(table, budget)
    base = baseline(problem)
    assert base is not None  # the paper's budgets hold the paper's networks
    score, latency = float(base.found.score[0]), float(base.found.costs.latency_s[0])
    runs = []
    for seed in range(seeds):
        found = _searched(problem, seed, trials, sampler)
        rows = front(found)
        as_good = rows[found.score[rows] >= score]
        as_fast = rows[found.costs.latency_s[rows] <= latency]
        runs.append(
            {
                "seed": seed,
                "speed_up_at_score": _best(latency / found.costs.latency_s[as_good]),
                "score_gain_at_latency": _best(found.score[as_fast] - score),
                "architecture": problem.space.text(
                    problem.space.architecture(found.genes[as_good[0]])
                )
                if len(as_good)
                else None,
            }
        )
    return {
        "budget": budget,
        "baseline": base.name,
        "baseline_latency_s": latency,
        "baseline_score": score,
        "seeds": seeds,
        "trials": trials,
        "runs": runs,
    }


def _best(values: Any) -> float | None:
    """The largest of an array, None if the search found nothing to put in it."""
    return float(values.max()) if len(values) else None


def _problem(
    table: Table, budget: str, axes: Callable[[ShuffleNetV2Space], Axes] | None = None
) -> Problem:
    from search.problem.budget import parse_budgets
    from search.problem.problem import Problem
    from space.architectures.shufflenet_v2 import ShuffleNetV2Space

    space = ShuffleNetV2Space()
    only = None if axes is None else axes(space)
    return Problem(space, table, parse_budgets([budget]), only=only)


def _searched(problem: Problem, seed: int, trials: int, sampler: str) -> Any:
    from search.optimizer.study import Study
    from search.result.winners import require_feasible

    study = Study.open(problem, seed=seed, sampler=sampler)
    for _ in study.run(trials):
        pass
    found = study.evaluated()
    require_feasible(problem, found)
    return found


def _print(paper: list[dict[str, Any]], full: list[dict[str, Any]], header: Any) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable

    from latency.table.header import latency_line

    console = Console(width=100, highlight=False)
    shown = RichTable(title="The paper's axis: widths found", box=None, title_justify="left")
    for name in ("budget", "recovered", "widths of stages 2-4"):
        shown.add_column(name, justify="right")
    for row in paper:
        widths = ", ".join(map(str, row["widths"]))
        shown.add_row(row["budget"], f"{row['recovered']} of {row['seeds']} seeds", widths)
    console.print(shown)
    if not full:
        return
    shown = RichTable(
        title="\nThe whole space against ShuffleNet v2", box=None, title_justify="left"
    )
    for name in ("budget", "baseline", "speed-up at its score", "score gain at its latency"):
        shown.add_column(name, justify="right")
    for row in full:
        ups = [run["speed_up_at_score"] for run in row["runs"]]
        gains = [run["score_gain_at_latency"] for run in row["runs"]]
        shown.add_row(row["budget"], row["baseline"], _range(ups, "x"), _range(gains, ""))
    console.print(shown)
    console.print(f"\n{latency_line(header)}", soft_wrap=True)
    console.print("score: training-free closed form; not an accuracy", soft_wrap=True)


def _range(values: list[float | None], unit: str) -> str:
    """Lowest to highest over the seeds; says how many found nothing."""
    found = [value for value in values if value is not None]
    if not found:
        return "none found"
    missing = "" if len(found) == len(values) else f" ({len(values) - len(found)} seeds: none)"
    return f"{min(found):.2f}{unit} to {max(found):.2f}{unit}{missing}"
