"""A published model and how well it predicts the held-out networks of the paper's Table 8."""

from __future__ import annotations

import csv
import hashlib
import io
import platform
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from latency.paper_model.fit import errors, fit, left_out_errors
from latency.paper_model.paper_speeds import CITATION, PAPER_SPEEDS
from latency.paper_model.rows import HELD_OUT_BATCH, fit_rows, held_out
from latency.table.header import TableHeader
from latency.table.load import SHIPPED
from latency.table.op_model import COLUMNS, OpCostModel
from space.common.files import write_atomic
from space.common.provenance import commit

DEVICES: dict[str, dict[str, Any]] = {
    "arm": {
        "device": "Snapdragon 810 (Cortex-A57), one thread",
        "engine": "NEON implementation of the ShuffleNet v2 authors",
    },
    "gpu": {"device": "GTX 1080 Ti", "engine": "cuDNN", "engine_version": "7.0"},
}
FITTED_TO = {
    "arm": "Tables 1, 2, 3, appendix Tables 1a (without Xception) and 1b (without Xception)",
    "gpu": "Tables 1, 2, 3, appendix Table 1a (without Xception)",
}


def spearman(a: list[float], b: list[float]) -> float:
    """Rank correlation; equal values share their mean rank."""
    ranks = []
    for values in (np.asarray(a), np.asarray(b)):
        below = (values[:, None] > values).sum(axis=1)
        equal = (values[:, None] == values).sum(axis=1)
        ranks.append(below + (equal - 1) / 2)
    return float(np.corrcoef(*ranks)[0, 1])


def network_error(model: OpCostModel) -> dict[str, Any]:
    """The header's `network_error`: every held-out network, and what sums them up."""
    rows = [
        {"network": name, "measured_s": measured_s, "predicted_s": model.network_s(network.blocks)}
        for network, name, measured_s in held_out(model.formula)
    ]
    predicted: list[float] = [row["predicted_s"] for row in rows]  # type: ignore[misc]
    measured: list[float] = [row["measured_s"] for row in rows]  # type: ignore[misc]
    error = np.abs(np.divide(predicted, measured) - 1.0)
    return {
        "networks": len(rows),
        "held_out": "Table 8",
        "mean_abs_error": float(error.mean()),
        "max_abs_error": float(error.max()),
        "within_5pct": float((error <= 0.05).mean()),
        "within_10pct": float((error <= 0.10).mean()),
        "spearman": spearman(measured, predicted),
        "rows": rows,
    }


def fit_error(target: str, coefficients: dict[str, float]) -> dict[str, Any]:
    """Mean absolute relative error per table of the fit, and with the row's family left out."""
    rows = fit_rows(target)
    fitted = np.abs(errors(target, rows, coefficients))
    left_out = np.abs(left_out_errors(target, rows))
    tables = np.array([row.table for row in rows])
    return {
        str(table): {
            "rows": int((tables == table).sum()),
            "fitted": round(float(fitted[tables == table].mean()), 4),
            "family_left_out": round(float(left_out[tables == table].mean()), 4),
        }
        for table in dict.fromkeys(tables)
    }


def fit_table(target: str) -> OpCostModel:
    """The model of `target` (arm or gpu), refitted, with a complete header."""
    import scipy

    coefficients = fit(target, fit_rows(target))
    header = TableHeader(
        layout="ops",
        target=target,
        source="published",
        **DEVICES[target],
        batch=HELD_OUT_BATCH[target],
        date=date.today().isoformat(),
        versions={
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        commit=commit(),
        command=f"python -m latency.published --target {target} --write",
        extra={
            "reference": f"{CITATION}; {FITTED_TO[target]}; checked on Table 8",
            "model": {"formula": target, "fit_error": fit_error(target, coefficients)},
        },
    )
    model = OpCostModel(header, coefficients)
    return replace(model, header=replace(header, network_error=network_error(model)))


def csv_text(model: OpCostModel) -> str:
    """The table's rows as they are written."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(model.to_rows())
    return out.getvalue()


def write(model: OpCostModel, folder: Path = SHIPPED) -> Path:
    """Write the model's .csv and .json; each file appears whole or not at all.

    Returns:
        The path of the header.
    """
    path = folder / f"{model.header.target}.json"
    text = csv_text(model)
    header = replace(model.header, csv_sha256=hashlib.sha256(text.encode()).hexdigest())
    write_atomic(path.with_suffix(".csv"), text)
    write_atomic(path, header.to_json())
    return path


def printed_flops(network: str) -> int:
    """What the paper prints for a network of Table 8, in millions of multiply-adds."""
    return PAPER_SPEEDS[network][0]
