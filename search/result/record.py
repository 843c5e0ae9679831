"""What a search leaves for programs: winners.json and front.csv."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import datetime
import io
import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from search.labels.config import words as option_words
from search.optimizer.study import Study
from search.problem.problem import Evaluation, Problem
from search.result.limit import Limit
from search.result.rows import ResultRow
from search.result.winners import front
from space.common.provenance import commit
from space.cost.lookup import Costs

PACKAGES = ("torch", "optuna", "numpy", "onnx", "onnxruntime", "safetensors")


def versions() -> dict[str, str]:
    """The versions that made the numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def provenance() -> dict[str, Any]:
    """The commit and the versions, for every record a command prints."""
    return {"commit": commit(), "versions": versions()}


def record(
    args: argparse.Namespace,
    problem: Problem,
    study: Study,
    rows: Sequence[ResultRow],
    files: Mapping[str, dict[str, Any]],
    limit: Limit | None,
    accuracy: Mapping[str, Any] | None = None,
) -> str:
    """The text of winners.json. `accuracy`: how the accuracies in `rows` were measured, if any."""
    header = problem.table.header
    entries = [{**row.record(header), **files.get(row.name, {})} for row in rows]
    by_role = {
        "winners": [e for e in entries if "files" in e],
        "baseline": next((e for e in entries if e["role"] == "baseline"), None),
        "others": [e for e in entries if e["role"] == "for comparison"],
    }
    words = ["python", "-m", "search.run", "--target", str(args.target)]
    for budget in problem.budgets:
        words += ["--budget", str(budget)]
    for name in problem.relax:
        words += ["--relax", name]
    if args.guidelines is not None:
        words += ["--guidelines", str(args.guidelines)]
    words += ["--trials", str(args.trials), "--seed", str(args.seed), "--sampler", args.sampler]
    words += option_words(args)
    found = {
        "command": shlex.join(words),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **provenance(),
        "seed": args.seed,
        "trials": study.trials,
        "duplicates": study.duplicates,
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
        **by_role,
        **({} if accuracy is None else {"accuracy": dict(accuracy)}),
        "score": problem.score.line,
        "bound": None if limit is None else dataclasses.asdict(limit),
    }
    return json.dumps(found, indent=2) + "\n"


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
