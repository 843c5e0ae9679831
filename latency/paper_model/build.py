"""The op cost model of a device of the paper, and its error on the networks of Table 8: fitted,
written, and as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from latency.paper_model.fit import fit_coefficients, left_out_errors, row_errors
from latency.paper_model.paper_speeds import CITATION, PAPER_SPEEDS
from latency.paper_model.rows import fit_rows, held_out
from latency.table.header import TableHeader
from latency.table.load import SHIPPED
from latency.table.networks import predictions
from latency.table.op_model import OpCostModel
from latency.table.op_terms import TERMS
from space.common.provenance import commit, today_utc, versions
from space.common.stats import spearman

HARDWARE: dict[str, dict[str, Any]] = {
    "arm": {
        "device": "Snapdragon 810 (Cortex-A57), one thread",
        "engine": "NEON implementation of the ShuffleNet v2 authors",
    },
    "gpu": {"device": "GTX 1080 Ti", "engine": "cuDNN", "engine_version": "7.0", "batch": 8},
}
FITTED_TO = {
    "arm": "Tables 1, 2, 3, appendix Tables 1a (without Xception) and 1b (without Xception)",
    "gpu": "Tables 1, 2, 3, appendix Table 1a (without Xception)",
}


def network_error(model: OpCostModel) -> dict[str, Any]:
    """The header's `network_error`: each held-out network of Table 8, and a summary."""
    networks, names, seconds = zip(*held_out(model.formula), strict=True)
    measured, predicted = np.array(seconds), predictions(model, networks)
    error = np.abs(predicted / measured - 1.0)
    return {
        "networks": len(networks),
        "held_out": "Table 8",
        "mean_abs_error": float(error.mean()),
        "max_abs_error": float(error.max()),
        "within_5pct": float((error <= 0.05).mean()),
        "within_10pct": float((error <= 0.10).mean()),
        "spearman": spearman(measured, predicted),
        "rows": [
            {"network": name, "measured_s": float(m), "predicted_s": float(p)}
            for name, m, p in zip(names, measured, predicted, strict=True)
        ],
    }


def fit_error(target: str, coefficients: dict[str, float]) -> dict[str, Any]:
    """Mean absolute relative error per table, of the fit and of fits without the row's family."""
    rows = fit_rows(target)
    fitted = np.abs(row_errors(target, rows, coefficients))
    left_out = np.abs(left_out_errors(target, rows))
    found = {}
    for table in dict.fromkeys(row.table for row in rows):
        at = [row.table == table for row in rows]
        found[table] = {
            "rows": sum(at),
            "fitted": round(float(fitted[at].mean()), 4),
            "family_left_out": round(float(left_out[at].mean()), 4),
        }
    return found


def fit_paper_model(target: str) -> OpCostModel:
    """Fit the model of `target` ("arm" or "gpu") to the paper's speeds; its header is complete."""
    coefficients = fit_coefficients(target, fit_rows(target))
    header = TableHeader(
        layout="ops",
        target=target,
        source="published",
        **HARDWARE[target],
        date=today_utc(),
        versions=versions("numpy", "scipy"),
        commit=commit(),
        command=f"python -m latency.published --target {target} --write",
        extra={
            "reference": f"{CITATION}; {FITTED_TO[target]}; checked on Table 8",
            "model": {"formula": target, "fit_error": fit_error(target, coefficients)},
        },
    )
    model = OpCostModel(header, coefficients)
    return replace(model, header=replace(header, network_error=network_error(model)))


def write_model(model: OpCostModel, folder: Path = SHIPPED) -> Path:
    """Replace the model's .csv and .json in `folder`, each completely or not at all.

    Returns:
        The path of the header.

    Raises:
        OSError: a file cannot be written.
    """
    path = folder / f"{model.header.target}.json"
    model.save(path)
    return path


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
