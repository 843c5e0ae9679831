"""How well each score ranks publicly trained networks."""

from __future__ import annotations

import platform
from typing import Any

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


def benchmark(
    dataset: str,
    *,
    data: str | None = None,
) -> dict[str, Any]:
    """Judge every score on `dataset`."""
    import numpy as np

    from evaluator.benchmarks import candidate_scores as candidates
    from evaluator.benchmarks import public_tables as trained
    from evaluator.benchmarks import ranking

    table = trained.TABLES[dataset](data)
    n = len(table.flops)
    scores = candidates.formulas(table)
    subsets = {"all": np.arange(n)}
    if dataset == "accel-nasbench":
        subsets["half not fitted on"] = trained.halves(n)[1]
    rows = []
    for subset, index in subsets.items():
        for target, accuracy in table.accuracy.items():
            for name, score in scores.items():
                found = ranking.agreement(score[index], accuracy[index], table.flops[index])
                shown = {field: getattr(found, field) for field in found.__slots__}
                rows.append({"score": name, "accuracy": target, "networks": subset, **shown})
    return {
        "dataset": dataset,
        "versions": _versions(),
        "rows": rows,
    }


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ["numpy", "scipy", "pandas"]
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def _print_table(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in report["rows"]:
        title = f"{report['dataset']}, {row['accuracy']}, {row['networks']}: {row['n']:,} networks"
        groups.setdefault(title, []).append(row)
    for title, rows in groups.items():
        table = Table(title=title)
        for index, heading in enumerate(COLUMNS.values()):
            table.add_column(heading, justify="right" if index else "left")
        for row in rows:
            cells = [row[key] for key in COLUMNS]
            table.add_row(
                *(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells)
            )
        console.print(table)
    console.print(CAPTION, highlight=False)
