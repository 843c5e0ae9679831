"""The scores that the benchmark compares, by name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluator.benchmarks.public_tables import BenchmarkTable
from evaluator.score.closed_form import ClosedForm

Floats = NDArray[np.float64]


def closed_form(table: BenchmarkTable, form: ClosedForm | None = None) -> Floats:
    """The closed form of each network of a table, [n], without stem and head; `form` None: with
    the default constants."""
    return (form or ClosedForm())(
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
        "closed form": closed_form(table),
    }
