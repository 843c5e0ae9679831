"""How well each score ranks publicly trained networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evaluator.benchmarks.public_tables import halves, read_table
from evaluator.benchmarks.ranking import agreement, formulas
from space.common.provenance import versions
from space.common.text import format_number, print_rich, rich_table

COLUMNS = {
    "score": "score",
    "spearman": "rho",
    "kendall": "tau",
    "spearman_equal_flops": "rho eq",
    "kendall_equal_flops": "tau eq",
    "worst_decile": "worst",
    "negative_deciles": "< 0",
}
CAPTION = (
    "rho: Spearman, tau: Kendall; eq: mean over ten deciles of FLOPs;\n"
    "worst: lowest rho of a decile; < 0: deciles where the sign flips"
)


def benchmark_scores(dataset: str, *, data: str | Path | None = None) -> dict[str, Any]:
    """Rank correlation of every training-free score with the accuracy of trained networks.

    Args:
        dataset: "nats-sss" or "accel-nasbench".
        data: the folder of tables; None: $G4NAS_DATA.

    Returns:
        dataset, versions, and rows: what `evaluator.benchmarks.ranking.agreement` returns, for
        each score, accuracy and set of networks.

    Raises:
        ValueError: no table has this name.
        MissingDataError: the folder or the table is missing.

    Example:
        >>> from space.common.errors import MissingDataError
        >>> try:
        ...     benchmark_scores("nats-sss", data="no-folder")
        ... except MissingDataError as error:
        ...     print(error)
        no table at no-folder/nats_sss/nats_sss.csv.xz: give --data or set G4NAS_DATA
    """
    table = read_table(dataset, data)
    n = len(table.flops)
    subsets = {"all": np.arange(n)}
    if dataset == "accel-nasbench":
        subsets["half not fitted on"] = halves(n)[1]
    scores = formulas(table)
    rows = []
    for subset, index in subsets.items():
        for target, accuracy in table.accuracy.items():
            for name, score in scores.items():
                key = {"score": name, "accuracy": target, "networks": subset}
                found = agreement(score[index], accuracy[index], table.flops[index])
                rows.append({**key, **found})
    return {"dataset": dataset, "versions": versions("numpy", "scipy", "pandas"), "rows": rows}


def print_scores(report: Mapping[str, Any]) -> None:
    """Print what `benchmark_scores` returns: a table for each accuracy and set of networks."""
    print_tables(report, "{dataset}, {accuracy}, {networks}: {n:,} networks", COLUMNS, CAPTION)


def print_tables(
    report: Mapping[str, Any], title: str, columns: Mapping[str, str], caption: str
) -> None:
    """Print the rows of a report as one table for each title, with a caption below.

    Args:
        title: a format string of keys of the report and its rows.
        columns: key of a row -> heading. A float has three digits, None is "-", and a key that
            the row lacks is empty.
    """
    tables: dict[str, list[list[str]]] = {}
    for row in report["rows"]:
        cells = [_cell(row.get(key, "")) for key in columns]
        tables.setdefault(title.format_map({**report, **row}), []).append(cells)
    headings = list(columns.values())
    print_rich(*(rich_table(headings, cells, title=name) for name, cells in tables.items()))
    print(caption)


def _cell(value: str | float | None) -> str:
    return str(value) if isinstance(value, str | int) else format_number(value, ".3f")
