"""The microbenchmarks on a device of the paper: its columns beside the fitted model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from latency.measure.block import Floats
from latency.microbenchmarks.limits import SCHEMA, limits_json
from latency.microbenchmarks.slowdown import guideline_verdict, of_table, paper_slowdowns
from latency.microbenchmarks.text import case_rows, format_tables, slowdown_line
from latency.paper_model.cases import TITLES, Case
from latency.paper_model.paper_speeds import CITATION
from latency.table.load import load_table
from latency.table.op_model import OpCostModel
from space.cost.guidelines import PAPER_LIMITS


def load_paper_model(device: str) -> OpCostModel:
    """The shipped model of a published device, at the microbenchmarks' batch of 1."""
    model = load_table(device)
    if not isinstance(model, OpCostModel):
        raise ValueError(f"the table of {device} must be a fitted model")
    return replace(model, header=replace(model.header, batch=1))


def model_seconds(model: OpCostModel, cases: Sequence[Case]) -> Floats:
    """The model's seconds of each case's ten blocks, float64 [cases], with the cost of starting a
    network, which the paper's column includes."""
    start = model.coefficients.get("network", 0.0) * float(model.header.scale["factor"])
    seconds = [start + case.repeats * model.network_s(case.unit) for case in cases]
    return np.array(seconds)


def error_line(cases: Sequence[Case], rows: Sequence[dict], table: int) -> str:
    """The model's error against the paper's column over one table."""
    errors = [row["error"] for case, row in zip(cases, rows, strict=True) if case.table == table]
    mean, worst = float(np.abs(errors).mean()), max(errors, key=abs)
    unseen = "" if table < 4 else "; not fitted to this table, whose size is our reading"
    return f"  model: mean error {mean:.1%}, worst {worst:+.1%}{unseen}"


def paper_document(model: OpCostModel, cases: Sequence[Case]) -> tuple[dict[str, Any], str]:
    """The paper's columns beside the model, with the paper's limits: (JSON document, text)."""
    device = model.formula
    rows = case_rows(cases, model_seconds(model, cases))
    paper = paper_slowdowns(cases)
    verdicts = {f"g{table}": guideline_verdict(of_table(paper, table)) for table in TITLES}
    ends = {
        table: [
            slowdown_line(cases, table, paper, "paper"),
            error_line(cases, rows, table),
            verdicts[f"g{table}"],
        ]
        for table in TITLES
    }
    limits = limits_json(PAPER_LIMITS)
    found = {
        "schema": SCHEMA,
        "limits": limits,
        "verdicts": verdicts,
        "source": "published",
        "device": model.header.device,
        "engine": model.header.engine,
        "reference": f"{CITATION}; Tables 1-4, {device} columns",
        "rows": rows,
    }
    head = (
        f"{model.header.label}\n{found['reference']}\n'to best' is time per multiply-add over the "
        "best of its width; intervals are the rounding of the printed speeds"
    )
    listed = ", ".join(f"{name.upper()} {value:g}" for name, value in limits.items())
    tail = f"Limits: the paper's, {listed}"
    return found, "\n\n".join([head, format_tables(cases, rows, ends, device), tail])
