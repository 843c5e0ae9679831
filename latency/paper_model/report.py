"""The fitted models and their errors as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from latency.paper_model.paper_speeds import PAPER_SPEEDS
from latency.paper_model.rows import held_out
from latency.table.op_model import OpCostModel
from latency.table.op_terms import TERMS


def models_json(models: Sequence[OpCostModel]) -> str:
    """What `--format json` prints: each model's target and its error on Table 8."""
    found = []
    for model in models:
        error = model.header.network_error
        kept = {name: error[name] for name in ("rows", "mean_abs_error", "spearman")}
        found.append({"target": model.header.target, **kept})
    return json.dumps(found, indent=2)


def format_model(model: OpCostModel) -> str:
    """What `--format table` prints of one model."""
    header = model.header
    lines = [f"{header.target}  ({header.label})", "", "  coefficient, seconds per unit"]
    for name, term in TERMS[model.formula].items():
        value = f"{model.coefficients[name]:.4g}"
        lines.append(f"    {name:20} {value:>11} / {term.unit:12} {term.why}")
    lines += ["", "  mean error of the fit     rows  fitted  family left out"]
    for table, found in header.extra["model"]["fit_error"].items():
        fitted, left_out = found["fitted"], found["family_left_out"]
        lines.append(f"    Table {table:18} {found['rows']:4}  {fitted:6.1%}  {left_out:15.1%}")
    error = header.network_error
    lines += ["", f"  {'held out: Table 8':28} MFLOPs counted/printed  measured  predicted  error"]
    flops = {name: network.flops for network, name, _ in held_out(model.formula)}
    for row in error["rows"]:
        name, measured, predicted = row["network"], row["measured_s"], row["predicted_s"]
        counts = f"{flops[name] / 1e6:.1f} / {PAPER_SPEEDS[name][0]}"
        times = f"{measured * 1e3:6.2f} ms  {predicted * 1e3:6.2f} ms"
        lines.append(f"    {name:26} {counts:>22}  {times}  {predicted / measured - 1:+6.1%}")
    lines.append(
        f"    mean {error['mean_abs_error']:.1%}, largest {error['max_abs_error']:.1%}, "
        f"within 10 %: {error['within_10pct']:.0%}, Spearman {error['spearman']:.3f}"
    )
    return "\n".join(lines)
