"""Which formulas compete: every score that the benchmark compares, by name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluator.benchmarks.public_tables import Trained
from evaluator.score.closed_form import ClosedForm

Floats = NDArray[np.float64]


def formulas(table: Trained) -> dict[str, Floats]:
    """name -> scores [n]; the baselines first, the project's own last."""
    widths = table.widths * table.splits
    late = np.where(table.levels == table.levels.max(), 8.0, 1.0)

    def closed(form: ClosedForm) -> Floats:
        return form(
            table.widths,
            table.depths,
            splits=table.splits,
            kernels=table.kernels,
            levels=table.levels,
        )

    return {
        "FLOPs": table.flops,
        "params": table.params,
        "log params + log FLOPs": np.log(table.params) + np.log(table.flops),
        "log widths, per stage": np.log(widths).sum(axis=1),
        "log widths, per layer": table.log_width_layers,
        "entropy (MAE-DET)": table.fan_in_layers.sum(axis=1),
        "entropy (DeepMAD weights)": table.fan_in_layers @ late,
        "closed form, growth 1": closed(ClosedForm(growth=1.0)),
        "closed form": closed(ClosedForm()),
    }
