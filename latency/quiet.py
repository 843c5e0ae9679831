"""Which rounds of a measurement count: the quieter half, told by what else was timed in them.

Other programs, other tenants of a virtual machine and a chip that slows itself down make whole
rounds slow, for seconds or minutes, all chains alike. A chain's own time in a round never decides
whether that round counts for it: choosing fast samples would make it look fast.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

SHARE = 0.5  # of the rounds counts
LEAST = 4  # rounds count, if there are as many
QUIET_QUANTILE = 0.2  # of a chain's times: what it takes when nothing disturbs it
DISTURBED = 1.1  # times that: a round in which others ran


def slowness(times: Floats) -> Floats:
    """Times [chains, rounds] relative to what each chain takes when nothing disturbs it."""
    return times / np.quantile(times, QUIET_QUANTILE, axis=1, keepdims=True)


def level(slow: Floats, without: Collection[int] = ()) -> Floats:
    """How disturbed each round was [rounds]: the median `slowness` [chains, rounds] of the chains
    in it but those `without`; 1 for every round if no chain is left."""
    others = [row for row in range(len(slow)) if row not in without]
    return np.median(slow[others], axis=0) if others else np.ones(slow.shape[1])


def quieter(levels: Floats) -> Mask:
    """The rounds that count, of their levels [rounds]; all of them if they are alike."""
    count = min(len(levels), max(LEAST, int(np.ceil(SHARE * len(levels)))))
    return levels <= np.sort(levels)[count - 1] if len(levels) else np.ones(0, dtype=bool)


def disturbed_share(levels: Sequence[Floats]) -> float:
    """Share of the rounds of all jobs that were disturbed, of the levels of each job."""
    every = np.concatenate([one / one.min() for one in levels]) if levels else np.zeros(1)
    return float((every > DISTURBED).mean())
