"""Which formulas compete: every score that the benchmark compares, by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluator.closed_form import ClosedForm
from evaluator.trained import Trained

Floats = NDArray[np.float64]
PROXY_INPUT = {"nats-sss": 32, "accel-nasbench": 224}


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


def with_proxy(scores: dict[str, Floats], proxy: Floats) -> dict[str, Floats]:
    """`scores`, the proxy alone, and the closed form + weight * log proxy in standard units."""
    log = np.log(np.maximum(proxy, 1e-9))
    both = {
        f"closed form + {weight:g} log MeCo": _standard(scores["closed form"])
        + weight * _standard(log)
        for weight in (0.25, 0.5, 1.0)
    }
    return {**scores, "MeCo": proxy, **both}


def proxy_scores(table: Trained, rows: Sequence[int], *, seed: int) -> Floats:
    """MeCo of the rebuilt networks in `rows`, each with fresh weights and the same input."""
    from rich.console import Console
    from rich.progress import track

    from evaluator.meco import meco, random_input
    from evaluator.rebuilt import network

    x = random_input(size=PROXY_INPUT[table.name], seed=seed)
    steps = track(rows, description="MeCo", console=Console(stderr=True))
    return np.array([meco(network(table, row, seed=seed), x, seed=seed) for row in steps])


def _standard(values: Floats) -> Floats:
    return (values - values.mean()) / values.std()
