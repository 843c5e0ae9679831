"""The scores that the benchmark compares, and how well a score ranks networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluator.benchmarks.public_tables import BenchmarkTable
from evaluator.score.closed_form import ClosedForm, Floats
from space.common.stats import kendall, mean_of, spearman

DECILES = 10


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
