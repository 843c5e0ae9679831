"""The scores that the benchmark compares, and how well each ranks publicly trained networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.benchmarks.public_tables import BenchmarkTable, halves, read_table
from evaluator.score.closed_form import ClosedForm, Floats
from space.common.provenance import versions
from space.common.stats import kendall, mean_of, spearman
from space.common.text import format_number, print_rich, rich_table

DECILES = 10
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


def closed_form(table: BenchmarkTable, form: ClosedForm) -> Floats:
    """The closed form of each network of a table, [n], without stem and head."""
    return form(
        table.widths,
        table.depths,
        splits=table.splits,
        kernels=table.kernels,
        levels=table.levels,
    )


def formulas(table: BenchmarkTable) -> dict[str, Floats]:
    """Name -> scores [n]; the baselines first, the project's own last."""
    widths = table.widths * table.splits
    late = np.where(table.levels == table.levels.max(), 8.0, 1.0)
    return {
        "FLOPs": table.flops,
        "params": table.params,
        "log params + log FLOPs": np.log(table.params) + np.log(table.flops),
        "log widths, per stage": np.log(widths).sum(axis=1),
        "log widths, per layer": table.log_width_layers,
        "entropy (MAE-DET)": table.fan_in_layers.sum(axis=1),
        "entropy (DeepMAD weights)": table.fan_in_layers @ late,
        "closed form, growth 1": closed_form(table, ClosedForm(growth=1.0)),
        "closed form": closed_form(table, ClosedForm()),
    }


def agreement(score: Floats, accuracy: Floats, flops: Floats) -> dict[str, float | None]:
    """Compare `score` with `accuracy`, over all networks and at nearly equal `flops`; all [n].

    Returns:
        Rank correlations, None where not defined, as of a constant column: `spearman` and
        `kendall` over all n networks, `spearman_equal_flops` and `kendall_equal_flops` as means
        over deciles of FLOPs, `worst_decile` the lowest Spearman correlation of a decile. Counts:
        `n` networks, `negative_deciles`.

    Raises:
        ValueError: arrays of different lengths, fewer than 30 networks, or a score that is not
            finite.
    """
    n = len(score)
    if not n == len(accuracy) == len(flops):
        raise ValueError(
            f"score, accuracy and FLOPs must be as many; got {n}, {len(accuracy)}, {len(flops)}."
        )
    if n < 3 * DECILES:
        raise ValueError(f"at least {3 * DECILES} networks are needed for deciles; got {n}.")
    if not np.isfinite(score).all():
        raise ValueError("every score must be finite; some are NaN or infinite.")
    groups = deciles(flops)
    within = [spearman(score[rows], accuracy[rows]) for rows in groups]
    defined = [value for value in within if value is not None]
    return {
        "n": n,
        "spearman": spearman(score, accuracy),
        "kendall": kendall(score, accuracy),
        "spearman_equal_flops": mean_of(within),
        "kendall_equal_flops": mean_of(kendall(score[rows], accuracy[rows]) for rows in groups),
        "worst_decile": min(defined, default=None),
        "negative_deciles": sum(value < 0 for value in defined),
    }


def deciles(flops: Floats) -> list[NDArray[np.intp]]:
    """Indices of ten equally large groups of nearly equal FLOPs."""
    return np.array_split(np.argsort(flops, kind="stable"), DECILES)


def benchmark_scores(dataset: str, *, data: str | Path | None = None) -> dict[str, Any]:
    """Rank correlation of every training-free score with the accuracy of trained networks.

    Args:
        dataset: "nats-sss" or "accel-nasbench".
        data: the folder of tables; None: $G4NAS_DATA.

    Returns:
        dataset, versions, and rows: what `agreement` returns, for
        each score, accuracy and set of networks.

    Raises:
        ValueError: no table has this name.
        MissingDataError: the folder or the table is missing.

    Example:
        >>> from space.common.errors import MissingDataError
        >>> try:
        ...     benchmark_scores("nats-sss", data="no-folder")
        ... except MissingDataError as error:
        ...     print(str(error)[:77])
        --data or $G4NAS_DATA must name the folder that has nats_sss/nats_sss.csv.xz;
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
