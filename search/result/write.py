"""The files of a result: winners.json and front.csv for programs, the front as a picture, and the
exported winners."""

from __future__ import annotations

import csv
import io
import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from latency.table.header import latency_line
from search.problem.problem import Evaluation, Problem
from search.result.export import export_network
from search.result.rows import ResultRow
from search.result.search_result import SearchResult
from search.result.winners import front
from space.common.files import replace_file, write_atomic
from space.common.provenance import commit, now_utc, versions
from space.cost.lookup import Costs

PACKAGES = ("torch", "optuna", "numpy", "onnx", "onnxruntime", "safetensors")


def provenance() -> dict[str, Any]:
    """The commit and the versions of a search, for every record a command prints."""
    return {"commit": commit(), "versions": versions(*PACKAGES)}


def export_winners(result: SearchResult) -> SearchResult:
    """Write the weights and the ONNX file of every winner; the result with `files` filled.

    Raises:
        ValueError: the ONNX file and the torch module of a winner do not agree.
        OSError: a file cannot be written.
    """
    files: dict[str, dict[str, Any]] = {}
    for winner, row in zip(result.winners, result.rows, strict=False):
        stem = result.folder / winner.name.replace(" ", "-")
        difference = export_network(row.network, stem, result.seed)
        names = [f"{stem.name}{suffix}" for suffix in (".safetensors", ".onnx")]
        files[row.name] = {"files": names, "onnx_max_relative_difference": difference}
    for name, trained in result.files.items():
        files.setdefault(name, {}).update(trained)
    return replace(result, files=files)


def write(result: SearchResult) -> SearchResult:
    """Write front.png, front.csv and winners.json, and remove the winners of an earlier result;
    the result with `record` filled.

    Raises:
        OSError: a file cannot be written.
    """
    folder, problem, found = result.folder, result.problem, result.found
    budget = " and ".join(map(str, problem.budgets))
    title = f"{result.target}, {budget}: {len(found)} trials, seed {result.seed}"
    draw_front(folder / "front.png", problem, found, result.rows, title)
    write_atomic(folder / "front.csv", front_csv(problem, found))
    result = replace(result, record=result_record(result))
    write_atomic(folder / "winners.json", json_text(result))
    names = {name for entry in result.files.values() for name in entry.get("files", ())}
    for path in folder.iterdir():
        if re.fullmatch(r"winner-\d+\.(safetensors|onnx)", path.name) and path.name not in names:
            path.unlink()
    return result


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
        "bound": None if result.limit is None else asdict(result.limit),
    }


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


def draw_front(
    path: Path, problem: Problem, found: Evaluation, rows: Sequence[ResultRow], title: str
) -> None:
    """Write a PNG: score against latency of all trials, the front, winners and baseline."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.2), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    milliseconds = found.costs.latency_s * 1e3
    for mask, color, label in (
        (~found.feasible, "#d9b3b3", "over a limit"),
        (found.feasible, "#9db4c8", "within all limits"),
    ):
        if mask.any():
            axes.scatter(milliseconds[mask], found.score[mask], s=9, c=color, label=label, lw=0)
    line = front(found)
    axes.step(milliseconds[line], found.score[line], where="post", c="#1f5a91", lw=1.3)
    axes.plot([], [], c="#1f5a91", lw=1.3, label="Pareto front")
    for row in rows:
        if row.latency_s is None:
            continue
        x = row.latency_s * 1e3
        if row.score is None:
            grey = "#777777"
            axes.axvline(x, c=grey, ls=":", lw=1)
            axes.annotate(
                row.name,
                (x, 0.45),
                xycoords=("data", "axes fraction"),
                rotation=90,
                fontsize=7,
                ha="right",
                color=grey,
            )
            continue
        base = row.role == "baseline"
        marker, color, size = ("D", "#c44e00", 8) if base else ("*", "#0b7a3b", 13)
        axes.plot(x, row.score, marker, c=color, ms=size, mec="white", label=row.name)
        axes.annotate(
            row.name,
            (x, row.score),
            xytext=(8, -11) if base else (-8, 7),
            textcoords="offset points",
            ha="left" if base else "right",
            fontsize=8,
        )
    header = problem.table.header
    batch = "" if header.batch == 1 else f" per batch of {header.batch}"
    source = textwrap.fill(latency_line(header), 110)
    axes.set_xlabel(f"latency{batch} in ms\n{source}", fontsize=8)
    axes.set_ylabel(problem.score.label)
    axes.set_title(title, fontsize=10)
    axes.legend(loc="lower right", fontsize=7, framealpha=0.9, edgecolor="none")
    axes.grid(alpha=0.25)
    with replace_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
