"""From the work of a network to seconds on a board.

    seconds = factor x (base + sum over levels of wait x misses) / frequency

`base` are llvm-mca's cycles, as if every access hit the first cache, or instructions. A `wait` is
what an average miss of that level adds: less than its latency, since later instructions run on
and prefetchers fetch ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency.emulator.cores import Core
from latency.emulator.estimator import Work

Floats = NDArray[np.float64]
LEAST_FACTOR = 0.1  # the least that a table's header may have
MISSES = ("l1_misses", "l2_misses", "l3_misses")


@dataclass(frozen=True, slots=True)
class Terms:
    """What is fitted beside the factor: the waits of `levels`, from 1, on top of a `base`."""

    base: str = "cycles"
    levels: tuple[int, ...] = ()

    def __str__(self) -> str:
        waits = [f"level {level} misses" for level in self.levels]
        return " + ".join(["llvm-mca cycles" if self.base == "cycles" else self.base, *waits])


@dataclass(frozen=True, slots=True)
class CycleModel:
    """`factor` 1 and no waits: nothing fitted. `waits`: what a miss of each level adds to base."""

    base: str = "cycles"
    factor: float = 1.0
    waits: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def seconds(self, work: Work, core: Core) -> float:
        """Seconds of work on a core."""
        lost = sum(
            wait * getattr(work, name) for wait, name in zip(self.waits, MISSES, strict=True)
        )
        return float(self.factor * (getattr(work, self.base) + lost) / core.hertz)


def fit(works: Sequence[Work], seconds: Floats, core: Core, terms: Terms) -> CycleModel:
    """The model with the least mean squared relative error; no wait is below zero."""
    from scipy.optimize import lsq_linear

    names = [terms.base, *(MISSES[level - 1] for level in terms.levels)]
    columns = np.array([[getattr(work, name) for name in names] for work in works])
    least = [LEAST_FACTOR, *(0.0 for _ in terms.levels)]
    relative = columns / core.hertz / seconds[:, None]
    found = lsq_linear(relative, np.ones(len(works)), bounds=(least, np.inf), method="bvls").x
    waits = [0.0, 0.0, 0.0]
    for level, value in zip(terms.levels, found[1:], strict=True):
        waits[level - 1] = float(value / found[0])
    return CycleModel(terms.base, float(found[0]), (waits[0], waits[1], waits[2]))


def left_out(works: Sequence[Work], seconds: Floats, core: Core, terms: Terms) -> Floats:
    """Each network's seconds told by a model fitted to the others, float64 [n]."""
    found = []
    for i, work in enumerate(works):
        rest = [w for j, w in enumerate(works) if j != i]
        found.append(fit(rest, np.delete(seconds, i), core, terms).seconds(work, core))
    return np.array(found)


def relative_errors(predicted: Floats, measured: Floats) -> dict[str, Any]:
    """Median, mean and largest absolute relative error, and the mean one with its sign."""
    error = predicted / measured - 1
    return {
        "median_abs_error": round(float(np.median(np.abs(error))), 4),
        "mean_abs_error": round(float(np.abs(error).mean()), 4),
        "max_abs_error": round(float(np.abs(error).max()), 4),
        "bias": round(float(error.mean()), 4),
    }
