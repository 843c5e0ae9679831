"""The microbenchmarks on a device of the paper: its columns beside the fitted model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from latency.microbenchmarks.limits import SCHEMA, limits_json
from latency.microbenchmarks.picture import draw_slowdowns
from latency.microbenchmarks.slowdown import guideline_verdict, of_table, paper_slowdowns
from latency.microbenchmarks.text import case_rows, format_tables, slowdown_line
from latency.paper_model.cases import TITLES, make_cases
from latency.paper_model.paper_speeds import CITATION
from latency.table.load import load_table
from latency.table.op_model import OpCostModel
from space.cost.guidelines import PAPER_LIMITS


def report_published(device: str, out: Path | None = None) -> tuple[dict[str, Any], str]:
    """The columns of a device of the paper beside the fitted model, with the paper's limits, and a
    picture in `out`.

    Args:
        device: "arm" or "gpu".

    Returns:
        A document for JSON, and the same as text.

    Raises:
        OSError: the picture cannot be written.
    """
    cases = make_cases(device)
    paper = paper_slowdowns(cases)
    if out is not None:
        draw_slowdowns(out / "guidelines.png", [(f"paper, {device}", paper)])
    shipped = load_table(device)
    assert isinstance(shipped, OpCostModel)
    model = replace(shipped, header=replace(shipped.header, batch=1))
    # The paper's columns include what it costs to start a network.
    start = model.coefficients.get("network", 0.0) * float(model.header.scale["factor"])
    seconds = [start + case.repeats * model.network_s(case.unit) for case in cases]
    rows = case_rows(cases, np.array(seconds))
    verdicts, ends = {}, {}
    for table in TITLES:
        errors = [row["error"] for row in rows if row["table"] == table]
        mean, worst = float(np.abs(errors).mean()), max(errors, key=abs)
        unseen = "" if table < 4 else "; not fitted to this table, whose size is our reading"
        verdict = verdicts[f"g{table}"] = guideline_verdict(of_table(paper, table))
        ends[table] = [
            slowdown_line(paper, table, "paper"),
            f"  model: mean error {mean:.1%}, worst {worst:+.1%}{unseen}",
            verdict,
        ]
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
