"""The files of a result: winners.json and front.csv for programs, the front as a picture, and the
exported winners."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import asdict, replace
from typing import Any

from search.problem.problem import Evaluation, Problem
from search.problem.shape import IMAGENET, error_applies, shape_of
from search.result.advice import advice_lines, no_winner_line
from search.result.estimates import estimate_record
from search.result.export import export_initialised, export_trained
from search.result.picture import draw_front
from search.result.rows import estimates_of
from search.result.search_result import SearchResult
from search.result.shelf import BASELINE
from search.result.shelf_text import verdict
from search.result.winners import front
from space.common.files import write_atomic
from space.common.provenance import commit, now_utc, versions
from space.cost.lookup import Costs

EXPORTED = re.compile(r"(winner-\d+|baseline)\.(safetensors|onnx)")
PACKAGES = ("torch", "optuna", "numpy", "onnx", "onnxruntime", "safetensors")


def provenance() -> dict[str, Any]:
    """The commit and the versions of a search, for every record a command prints."""
    return {"commit": commit(), "versions": versions(*PACKAGES)}


def export_winners(result: SearchResult) -> SearchResult:
    """Write the weights and the ONNX file of every winner, or of the baseline if there is none;
    the result with `files` filled. The weights are those of the first final training, if there
    was one, else initialised ones.

    Raises:
        ValueError: the ONNX file and the torch module of a winner do not agree, or trained weights
            are damaged.
        OSError: a file cannot be written.
    """
    files: dict[str, dict[str, Any]] = {}
    for row in result.rows[: max(1, len(result.winners))]:
        name = row.role if row.role == BASELINE else row.name.replace(" ", "-")
        stem = result.folder / name
        trained = result.files.get(row.name, {}).get("trained", ())
        if trained:
            # The first seed: the best one would be chosen by the images it is tested on.
            exported = export_trained(result.folder / trained[0], stem, keep_weights=True)
        else:
            exported = export_initialised(row.network, stem, result.seed)
        files[row.name] = {
            "files": [path.name for path in exported.paths],
            "weights": exported.weights,
            "onnx_max_relative_difference": exported.difference,
        }
    for name, trained in result.files.items():
        files.setdefault(name, {}).update(trained)
    return replace(result, files=files)


def write(result: SearchResult) -> SearchResult:
    """Write front.png, front.csv and winners.json, and remove what an earlier result exported;
    the result with `record` filled.

    Raises:
        OSError: a file cannot be written.
    """
    folder, problem, found = result.folder, result.problem, result.found
    budget, shape = " and ".join(map(str, problem.budgets)), shape_of(problem.space)
    networks = "" if shape == IMAGENET else f"{shape}; "
    title = f"{result.target}, {budget}: {networks}{len(found)} trials, seed {result.seed}"
    draw_front(folder / "front.png", problem, found, result.rows, title)
    write_atomic(folder / "front.csv", front_csv(problem, found))
    result = replace(result, record=result_record(result))
    write_atomic(folder / "winners.json", json_text(result))
    names = {name for entry in result.files.values() for name in entry.get("files", ())}
    for path in folder.iterdir():
        if EXPORTED.fullmatch(path.name) and path.name not in names:
            path.unlink()
    return result


def result_record(result: SearchResult) -> dict[str, Any]:
    """The content of winners.json: every latency with its source and the table's own error."""
    header, problem = result.header, result.problem
    shape, files = shape_of(problem.space), result.files
    entries = [{**row.record(header, shape), **files.get(row.name, {})} for row in result.rows]
    return {
        "command": result.command,
        "date": now_utc(),
        **provenance(),
        "seed": result.seed,
        "trials": len(result.found),
        "duplicates": result.duplicates,
        "space": problem.space.name,
        "input": [shape.channels, shape.height, shape.width],
        "classes": shape.classes,
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
            "network_error_applies": error_applies(header, shape),
        },
        "winners": entries[: len(result.winners)],
        "baseline": next((e for e in entries if e["role"] == BASELINE), None),
        "others": [e for e in entries if e["role"] == "for comparison"],
        "shelf": shelf_record(result),
        **({} if result.accuracy is None else {"accuracy": dict(result.accuracy)}),
        "score": problem.score.line,
        **({} if (estimate := estimate_record(problem)) is None else {"estimate": estimate}),
        "bound": None if result.limit is None else asdict(result.limit),
        "advice": [line for line in (no_winner_line(result), *advice_lines(result)) if line],
    }


def shelf_record(result: SearchResult) -> dict[str, Any] | None:
    """The networks off the shelf in winners.json; None where they were not asked for."""
    if (shelf := result.shelf) is None:
        return None
    return shelf.record(result.header, verdict(shelf, result.rows, estimates_of(result.rows)))


def json_text(result: SearchResult) -> str:
    """The text of winners.json."""
    return json.dumps(result.record, indent=2) + "\n"


def front_csv(problem: Problem, found: Evaluation) -> str:
    """The Pareto front, fastest first, one architecture per row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["architecture", "score", *Costs.__slots__])
    for row in front(found):
        numbers = (float(found.score[row]), *found.costs.row(int(row)).values())
        writer.writerow([problem.text(found.genes[row]), *map(repr, numbers)])
    return out.getvalue()
