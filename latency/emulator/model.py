"""Seconds of a network on a board, from its work.

    seconds = factor x (base + sum over levels of wait x misses) / frequency

`base` is the number of instructions, or of llvm-mca's cycles, as if every access hit the first
cache. A `wait` is the average cost of a miss of that level. It is below the miss's latency, since
later instructions run meanwhile and prefetchers fetch ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from latency.emulator.cores import Core
from latency.emulator.estimator import Work
from latency.measure.block import Floats

LEAST_FACTOR = 0.1  # the least that a table's header may have
MISSES = ("l1_misses", "l2_misses", "l3_misses")


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms that are fitted: a factor of `base`, and the waits of cache `levels`, from 1."""

    base: str = "cycles"
    levels: tuple[int, ...] = ()

    def __str__(self) -> str:
        waits = [f"level {level} misses" for level in self.levels]
        return " + ".join(["llvm-mca cycles" if self.base == "cycles" else self.base, *waits])


@dataclass(frozen=True, slots=True)
class CycleModel:
    """The model above, unfitted by default. `waits`: of each cache level, in units of `base`."""

    base: str = "cycles"
    factor: float = 1.0
    waits: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def seconds(self, work: Work, core: Core) -> float:
        """Seconds of the work on a core."""
        lost = np.dot(self.waits, [getattr(work, name) for name in MISSES])
        return float(self.factor * (getattr(work, self.base) + lost) / core.hertz)


def fit_cycle_model(
    works: Sequence[Work], seconds: Floats, core: Core, terms: Terms
) -> CycleModel:
    """The model with the least mean squared relative error; waits are not negative."""
    from scipy.optimize import lsq_linear

    names = [terms.base, *(MISSES[level - 1] for level in terms.levels)]
    columns = np.array([[getattr(work, name) for name in names] for work in works])
    least = [LEAST_FACTOR, *(0.0 for _ in terms.levels)]
    relative = columns / core.hertz / seconds[:, None]
    found = lsq_linear(relative, np.ones(len(works)), bounds=(least, np.inf), method="bvls").x
    by_level = dict(zip(terms.levels, found[1:] / found[0], strict=True))
    first, second, third = (float(by_level.get(level, 0.0)) for level in (1, 2, 3))
    return CycleModel(terms.base, float(found[0]), (first, second, third))


def left_out_seconds(works: Sequence[Work], seconds: Floats, core: Core, terms: Terms) -> Floats:
    """Seconds of each network, predicted by a model fitted to the others, float64 [n]."""
    found = []
    for i, work in enumerate(works):
        rest = [w for j, w in enumerate(works) if j != i]
        found.append(fit_cycle_model(rest, np.delete(seconds, i), core, terms).seconds(work, core))
    return np.array(found)


def relative_errors(predicted: Floats, measured: Floats) -> dict[str, Any]:
    """Median, mean and largest absolute relative error, and the mean one with its sign."""
    error = predicted / measured - 1
    size = np.abs(error)
    found = {
        "median_abs_error": np.median(size), "mean_abs_error": size.mean(),
        "max_abs_error": size.max(), "bias": error.mean(),
    }  # fmt: skip
    return {name: round(float(value), 4) for name, value in found.items()}
