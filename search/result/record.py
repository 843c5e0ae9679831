"""What a search leaves for programs: the content of winners.json and front.csv."""

from __future__ import annotations

import csv
import dataclasses
import io
from typing import Any

from search.problem.problem import Evaluation, Problem
from search.result.search_result import SearchResult
from search.result.winners import front
from space.common.provenance import commit, now_utc, versions
from space.cost.lookup import Costs

PACKAGES = ("torch", "optuna", "numpy", "onnx", "onnxruntime", "safetensors")


def provenance() -> dict[str, Any]:
    """The commit and the versions of a search, for every record a command prints."""
    return {"commit": commit(), "versions": versions(*PACKAGES)}


def result_record(result: SearchResult) -> dict[str, Any]:
    """The content of winners.json: every latency with its source and the table's own error."""
    header, problem = result.header, result.problem
    entries = [{**row.record(header), **result.files.get(row.name, {})} for row in result.rows]
    return {
        "command": result.command,
        "date": now_utc(),
        **provenance(),
        "seed": result.seed,
        "trials": len(result.found),
        "duplicates": result.duplicates,
        "space": problem.space.name,
        "input": [3, problem.space.height, problem.space.width],
        "budgets": [str(budget) for budget in problem.budgets],
        "relaxed": list(problem.relax),
        "limits": {name: limit for name, limit in problem.constraints if name.startswith("g")},
        "latency": {
            "target": header.target,
            "source": header.source,
            "device": header.device,
            "engine": f"{header.engine} {header.engine_version}".strip(),
            "threads": header.threads,
            "batch": header.batch,
            "dtype": header.dtype,
            "date": header.date,
            "network_error": {k: v for k, v in header.network_error.items() if k != "rows"},
        },
        "winners": [e for e in entries if "files" in e],
        "baseline": next((e for e in entries if e["role"] == "baseline"), None),
        "others": [e for e in entries if e["role"] == "for comparison"],
        **({} if result.accuracy is None else {"accuracy": dict(result.accuracy)}),
        "score": problem.score.line,
        "bound": None if result.limit is None else dataclasses.asdict(result.limit),
    }


def front_csv(problem: Problem, found: Evaluation) -> str:
    """The Pareto front, fastest first, one architecture per row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = Costs.__slots__
    writer.writerow(["architecture", "score", *names])
    for row in front(found):
        text = problem.space.text(problem.space.architecture(found.genes[row]))
        costs = found.costs.row(int(row))
        writer.writerow([text, repr(float(found.score[row])), *(repr(costs[n]) for n in names)])
    return out.getvalue()
