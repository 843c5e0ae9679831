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
Visit = tuple[NDArray[np.intp], Floats]  # networks timed together [n], their times [n, rounds]

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
    """The rounds that count, of their levels [rounds]: the quieter half, without those that were
    disturbed; but `LEAST` of them in any case. All that are alike count alike."""
    order = np.sort(levels)
    half = int(np.ceil(SHARE * len(order)))
    quiet = int((order <= DISTURBED * order[0]).sum())
    count = min(len(order), max(LEAST, min(half, quiet)))
    return levels <= order[count - 1]


def disturbed_share(levels: Sequence[Floats]) -> float:
    """Share of the rounds of all jobs that were disturbed, of the levels of each job."""
    every = np.concatenate([one / one.min() for one in levels]) if levels else np.zeros(1)
    return float((every > DISTURBED).mean())


def by_network(networks: int, visits: Sequence[Visit]) -> list[tuple[Floats, Floats]]:
    """For each network its times and the levels of their rounds, over all its visits."""
    times: list[list[Floats]] = [[] for _ in range(networks)]
    for rows, found in visits:
        for row, seconds in zip(rows, found, strict=True):
            times[row].append(seconds)
    every = [np.concatenate(of_one) for of_one in times]
    usual = np.array([np.quantile(of_one, QUIET_QUANTILE) for of_one in every])
    levels: list[list[Floats]] = [[] for _ in range(networks)]
    for rows, found in visits:
        slow = found / usual[rows, None]
        for place, row in enumerate(rows):
            levels[row].append(level(slow, without=(place,)))
    return [(t, np.concatenate(of_one)) for t, of_one in zip(every, levels, strict=True)]


def typical_s(networks: int, visits: Sequence[Visit]) -> Floats:
    """Seconds of each network [networks]: the median over the rounds that count."""
    found = by_network(networks, visits)
    return np.array([np.median(times[quieter(levels)]) for times, levels in found])


def disturbed_rows(networks: int, visits: Sequence[Visit]) -> NDArray[np.intp]:
    """The networks of whose rounds more than half were disturbed."""
    levels = [of_one for _, of_one in by_network(networks, visits)]
    return np.flatnonzero([(of_one > DISTURBED).mean() > 1 - SHARE for of_one in levels])
