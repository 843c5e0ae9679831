"""What a finished search leaves and prints: winners and baseline, exported, trained, recorded."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.labels.score import ScoreComparison, study_file
from search.optimizer.study import Study
from search.problem.baseline import baseline
from search.problem.problem import Problem
from search.result.export import export
from search.result.limit import limit_of
from search.result.picture import draw_front
from search.result.record import front_csv, record
from search.result.rows import answer, with_measurements
from search.result.text import print_rows
from search.result.winners import require_feasible, winners
from space.common.cli import DONE
from space.common.files import write_atomic

if TYPE_CHECKING:
    from search.labels.pipeline import LabelPipeline


def give(
    args: argparse.Namespace,
    problem: Problem,
    study: Study,
    out: Path,
    labelling: LabelPipeline | None,
    judged: ScoreComparison | None,
) -> int:
    """Write the answer into `out` and print it; returns the exit status.

    Args:
        labelling: what trains winners and baseline, if they are to be trained.
        judged: the labels behind the score, if there are any.

    Raises:
        InfeasibleError: no network meets the budget.
        KeyboardInterrupt: what was trained is kept.
    """
    found = study.evaluated()
    require_feasible(problem, found)
    base = baseline(problem)
    chosen = winners(found, base)
    header = problem.table.header
    rows = with_measurements(answer(problem, found, chosen, base), header)
    if labelling is not None:
        rows = labelling.measured(rows)
    budget = " and ".join(map(str, problem.budgets))
    title = f"{args.target}, {budget}: {study.trials} trials, seed {args.seed}"
    draw_front(out / "front.png", found, rows, title, header, problem.score.label)
    files: dict[str, dict[str, Any]] = {}
    for winner, row in zip(chosen, rows, strict=False):
        stem = out / winner.name.replace(" ", "-")
        difference = export(row.network, stem, args.seed)
        names = [stem.with_suffix(s).name for s in (".safetensors", ".onnx")]
        files[winner.name] = {"files": names, "onnx_max_relative_difference": difference}
    told: dict[str, Any] | None = None
    if labelling is None and judged is not None:
        told = {
            "source": "predicted",
            "labels": {**judged.record(), "file": Path(args.labels_from).name},
        }
    if labelling is not None:
        told = labelling.record(rows)
        for row in rows:
            if row.accuracy:
                files.setdefault(row.name, {})["trained"] = labelling.weights(row)
    write_atomic(out / "front.csv", front_csv(problem, found))
    limit = limit_of(problem, found, base)
    text = record(args, problem, study, rows, files, limit, told)
    write_atomic(out / "winners.json", text)
    _remove_others(out, {name for each in files.values() for name in each.get("files", ())})
    if args.format == "json":
        print(text, end="")
        return DONE
    print_rows(rows, header, problem.score.line)
    if labelling is not None:
        for line in labelling.lines(rows, None if base is None else base.name):
            print(line)
    if base is None:
        print("no ShuffleNet v2 is within the budget: no speed-up is given")
    for line in limit.lines(base.name) if limit is not None and base is not None else ():
        print(line)
    for name, entry in files.items():
        if "files" not in entry:
            continue
        difference = entry["onnx_max_relative_difference"]
        print(f"{name}: {', '.join(entry['files'])}; ONNX against torch: {difference:.1e}")
    print(f"all in {out}: winners.json, front.csv, front.png, {study_file(problem.score)}")
    return DONE


def _remove_others(out: Path, kept: set[str]) -> None:
    """Remove winners of an earlier answer in `out` that this one does not have."""
    for path in out.iterdir():
        if re.fullmatch(r"winner-\d+\.(safetensors|onnx)", path.name) and path.name not in kept:
            path.unlink()
