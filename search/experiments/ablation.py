"""Drop each guideline in turn: does the search return to it by itself?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.problem.problem import Problem, Table

GUIDELINES = ("g1", "g2", "g3", "g4")


def ablate(table: Table, budgets: Any, dropped: str, seeds: int, trials: int) -> dict[str, Any]:
    """Search without one guideline ("" keeps all) and say what the fastest networks at the
    baseline's score chose, seed by seed."""
    from search.optimizer.study import Study
    from search.problem.baseline import baseline
    from search.problem.problem import Problem
    from space.architectures.shufflenet_v2 import ShuffleNetV2Space

    problem = Problem(ShuffleNetV2Space(), table, budgets, (dropped,) if dropped else ())
    base = baseline(problem)
    if base is None:
        raise ValueError("no ShuffleNet v2 is within the budget; give a larger one")
    runs = []
    for seed in range(seeds):
        study = Study.open(problem, seed=seed)
        for _ in study.run(trials):
            pass
        runs.append(_judge(problem, study.evaluated(), base, dropped))
    return {"dropped": dropped or None, "baseline": base.name, "runs": runs}


def _judge(problem: Problem, found: Any, base: Any, dropped: str) -> dict[str, Any]:
    import numpy as np

    from search.result.winners import front

    rows = front(found)
    as_good = rows[found.score[rows] >= base.found.score[0]]
    result: dict[str, Any] = {"front": len(rows), "front_within_limit": None, "choices": {}}
    if dropped:
        limit = getattr(problem.limits, dropped)
        kept = getattr(found.costs, dropped)[rows] <= limit
        result["front_within_limit"] = float(np.mean(kept)) if len(rows) else None
    if not len(as_good):
        return {**result, "speed_up": None}
    best = int(as_good[0])
    architecture = problem.space.architecture(found.genes[best])
    result["speed_up"] = float(base.found.costs.latency_s[0] / found.costs.latency_s[best])
    result["architecture"] = problem.space.text(architecture)
    if dropped:
        result["value"] = float(getattr(found.costs, dropped)[best])
        result["within_limit"] = result["value"] <= limit
        result["choices"] = {
            slot.name: str(problem.space.value(architecture, slot.name))
            for slot in problem.space.slots
            if slot.breaks == dropped
        }
    return result


def _record(args: argparse.Namespace, rows: list[dict[str, Any]], table: Table) -> dict[str, Any]:
    from search.result.record import provenance

    header = table.header
    return {
        "rows": rows,
        "trials": args.trials,
        "seeds": args.seeds,
        "latency": {"target": header.target, "source": header.source},
        **provenance(),
    }


def _print(rows: list[dict[str, Any]], table: Table) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable

    from latency.table.header import latency_line

    console = Console(width=110, highlight=False)
    shown = RichTable(box=None, pad_edge=False)
    for name in ("dropped", "speed-up at the baseline's score", "winners within its limit",
                 "front within it", "choices of the winners"):  # fmt: skip
        shown.add_column(name)
    for row in rows:
        runs = row["runs"]
        ups = " ".join("none" if r["speed_up"] is None else f"{r['speed_up']:.2f}x" for r in runs)
        if row["dropped"] is None:
            shown.add_row("none", ups, "-", "-", "-")
            continue
        back = sum(bool(r.get("within_limit")) for r in runs)
        shares = [r["front_within_limit"] for r in runs if r["front_within_limit"] is not None]
        share = sum(shares) / len(shares) if shares else 0.0
        picked = "; ".join(
            ", ".join(f"{name} {value}" for name, value in r["choices"].items()) for r in runs
        )
        shown.add_row(
            row["dropped"].upper(), ups, f"{back} of {len(runs)}", f"{share:.0%}", picked
        )
    console.print(shown)
    console.print(f"\n{latency_line(table.header)}", soft_wrap=True)
    console.print(
        "score: training-free closed form; what it says of axes that break a guideline is "
        "reasoned, not measured (docs/score.md)",
        soft_wrap=True,
    )
