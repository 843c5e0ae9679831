"""From the work of a network to seconds on a board.

    seconds = factor x (cycles + sum over levels of wait x misses) / frequency

`cycles` are llvm-mca's, as if every access hit the first cache. A `wait` is what an average miss
of that level adds: less than its latency, since later instructions run on and prefetchers
fetch ahead.
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
MISSES = ("l1_misses", "l2_misses", "l3_misses")


@dataclass(frozen=True, slots=True)
class CycleModel:
    """`factor` 1 and no waits: nothing fitted. `waits`: cycles a miss of each level adds."""

    factor: float = 1.0
    waits: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def seconds(self, work: Work, core: Core) -> float:
        """Seconds of work on a core."""
        lost = sum(
            wait * getattr(work, name) for wait, name in zip(self.waits, MISSES, strict=True)
        )
        return self.factor * (work.cycles + lost) / core.hertz


def fit(
    works: Sequence[Work],
    seconds: Floats,
    core: Core,
    *,
    factor: bool = True,
    levels: Sequence[int] = (),
) -> CycleModel:
    """The model with the least mean squared relative error, no parameter below zero.

    Args:
        factor: whether the factor is fitted, or 1.
        levels: the levels of cache whose waits are fitted, from 1; the others' are 0.
    """
    from scipy.optimize import nnls

    columns = [[work.cycles for work in works]]
    columns += [[getattr(work, MISSES[level - 1]) for work in works] for level in levels]
    matrix = np.array(columns).T / core.hertz / seconds[:, None]
    if factor:
        found = nnls(matrix, np.ones(len(works)))[0]
    elif levels:
        found = np.array([1.0, *nnls(matrix[:, 1:], np.ones(len(works)) - matrix[:, 0])[0]])
    else:
        found = np.ones(1)
    waits = [0.0, 0.0, 0.0]
    for level, value in zip(levels, found[1:], strict=True):
        waits[level - 1] = float(value / found[0])
    return CycleModel(float(found[0]), (waits[0], waits[1], waits[2]))


def left_out(
    works: Sequence[Work],
    seconds: Floats,
    core: Core,
    *,
    factor: bool = True,
    levels: Sequence[int] = (),
) -> Floats:
    """Each network's seconds told by a model fitted to the others, float64 [n]."""
    found = []
    for i, work in enumerate(works):
        rest = [w for j, w in enumerate(works) if j != i]
        model = fit(rest, np.delete(seconds, i), core, factor=factor, levels=levels)
        found.append(model.seconds(work, core))
    return np.array(found)


def relative_errors(predicted: Floats, measured: Floats) -> dict[str, Any]:
    """Median and largest absolute relative error, and the mean one with its sign."""
    error = predicted / measured - 1
    return {
        "median_abs_error": round(float(np.median(np.abs(error))), 4),
        "max_abs_error": round(float(np.abs(error).max()), 4),
        "bias": round(float(error.mean()), 4),
    }
