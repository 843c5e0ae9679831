"""The op cost model of a device of the paper, and its error on the networks of Table 8."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from latency.paper_model.fit import fit_coefficients, left_out_errors, row_errors
from latency.paper_model.paper_speeds import CITATION
from latency.paper_model.rows import HELD_OUT_BATCH, fit_rows, held_out
from latency.table.header import TableHeader
from latency.table.load import SHIPPED
from latency.table.op_model import COLUMNS, OpCostModel
from space.common.files import write_atomic
from space.common.provenance import commit, today_utc, versions
from space.common.stats import spearman

HARDWARE: dict[str, dict[str, Any]] = {
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


def network_error(model: OpCostModel) -> dict[str, Any]:
    """The header's `network_error`: each held-out network of Table 8, and a summary."""
    networks = held_out(model.formula)
    measured = np.array([measured_s for _, _, measured_s in networks])
    predicted = np.array([model.network_s(network.blocks) for network, _, _ in networks])
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
            for (_, name, _), m, p in zip(networks, measured, predicted, strict=True)
        ],
    }


def fit_error(target: str, coefficients: dict[str, float]) -> dict[str, Any]:
    """Mean absolute relative error per table: of the fit, and of a fit without the row's family.

    Args:
        target: "arm" or "gpu".
        coefficients: term -> seconds per unit of the term.
    """
    rows = fit_rows(target)
    fitted = np.abs(row_errors(target, rows, coefficients))
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


def fit_paper_model(target: str) -> OpCostModel:
    """Fit the model of `target` ("arm" or "gpu") to the paper's speeds; its header is complete."""
    coefficients = fit_coefficients(target, fit_rows(target))
    header = TableHeader(
        layout="ops",
        target=target,
        source="published",
        **HARDWARE[target],
        batch=HELD_OUT_BATCH[target],
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


def model_csv(model: OpCostModel) -> str:
    """The model's rows as the text of a CSV file."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(model.to_rows())
    return out.getvalue()


def write_model(model: OpCostModel, folder: Path = SHIPPED) -> Path:
    """Replace the model's .csv and .json in `folder`, each whole or not at all.

    Returns:
        The path of the header.

    Raises:
        OSError: a file cannot be written.
    """
    path = folder / f"{model.header.target}.json"
    text = model_csv(model)
    header = replace(model.header, csv_sha256=hashlib.sha256(text.encode()).hexdigest())
    write_atomic(path.with_suffix(".csv"), text)
    write_atomic(path, header.to_json())
    return path
