"""Write the files of a result."""

from __future__ import annotations

import json
import re
from collections.abc import Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.result.export import export_network
from search.result.picture import draw_front
from search.result.record import front_csv, result_record
from search.result.search_result import SearchResult
from space.common.files import write_atomic


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
        names = [stem.with_suffix(suffix).name for suffix in (".safetensors", ".onnx")]
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
    header, label = result.header, problem.score.label
    draw_front(folder / "front.png", found, result.rows, title, header, label)
    write_atomic(folder / "front.csv", front_csv(problem, found))
    result = replace(result, record=result_record(result))
    write_atomic(folder / "winners.json", json_text(result))
    names = {name for entry in result.files.values() for name in entry.get("files", ())}
    _remove_others(folder, names)
    return result


def json_text(result: SearchResult) -> str:
    """The text of winners.json."""
    return json.dumps(result.record, indent=2) + "\n"


def _remove_others(folder: Path, names: Set[str]) -> None:
    """Remove winners of an earlier result in `folder` that are not among `names`."""
    for path in folder.iterdir():
        if re.fullmatch(r"winner-\d+\.(safetensors|onnx)", path.name) and path.name not in names:
            path.unlink()
