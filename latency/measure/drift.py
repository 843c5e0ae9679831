"""Drift correction: how fast the machine was in each round, and which rounds count.

Other programs, tenants of a virtual machine and thermal throttling change a machine's speed by
tens of percent, for seconds or hours, and all chains nearly alike. So every job also times a
reference network, whose latency is typical of the space. The drift factor of a round is the
reference's time over its typical time; all other times are divided by it: seconds of the machine
at its typical speed, which depend on no table's prediction.

A chain's own time in a round never decides whether that round counts for it: selecting fast
samples would make the chain look fast.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latency.devices.session import Session, Timed
from space.network.block import Chain
from space.zoo.families import shufflenet_v2

Floats = NDArray[np.float64]

REFERENCE = "ShuffleNet v2 1.5x"  # the network whose time is the drift factor
REFERENCE_QUANTILE = 0.25  # of the groups, by its time in them: the middle of the quieter half
COUNTED_SHARE = 0.5  # of the rounds counts
MIN_COUNTED = 4  # rounds count, if there are as many
OUTLIER = 1.1  # a round this much slower or faster is an outlier: it counts only as MIN_COUNTED


@dataclass(frozen=True, slots=True)
class TimedGroup:
    """Chains timed together: seconds [chains, rounds], and of the reference [samples, rounds]."""

    times: Floats
    reference: Floats


def reference_chain(height: int, width: int) -> Chain:
    """The blocks of the reference network on images of `height` x `width`."""
    return shufflenet_v2("1.5", height, width).blocks


def time_with_reference(
    session: Session,
    chains: Sequence[Chain],
    reference: Chain,
    *,
    batch: int = 1,
    rounds: int,
    steady: bool,
) -> tuple[TimedGroup, Timed]:
    """Time chains round by round, the reference before the first.

    Args:
        steady: time each right after a run of its own, as for networks. The reference then also
            comes before the middle chain: networks have little noise, so its own must be small.

    Raises:
        OSError: as `Session.time`.
    """
    order, rows = [reference, *chains], [0]
    if steady:
        rows.append(len(order) // 2)
        order.insert(rows[1], reference)
    each = [steady or row in rows for row in range(len(order))]
    timed = session.time(order, batch=batch, rounds=rounds, steady=each)
    return TimedGroup(np.delete(timed.times, rows, axis=0), timed.times[rows]), timed


def typical_reference_s(groups: Sequence[TimedGroup]) -> float:
    """Typical seconds of the reference: the quartile of the groups' medians, which does not depend
    on how many samples a group has."""
    return float(np.quantile([np.median(g.reference) for g in groups], REFERENCE_QUANTILE))


def drift_factor(
    group: TimedGroup,
    reference_s: float,
    exclude: Collection[int] = (),
    typical: Floats | None = None,
) -> Floats:
    """Drift factor of each round [rounds]: the reference's time over its typical `reference_s`.

    The median over the chains not in `exclude` estimates how the rounds of a group differ, since
    many chains are less noisy than two samples of the reference. The reference determines the
    level. If no chain is left, the factor is the mean over the reference's samples.

    Args:
        typical: seconds of the chains [chains] at the typical speed, where other groups have
            measured them: they then contribute to the level like the reference.
    """
    others = [row for row in range(len(group.times)) if row not in exclude]
    logs, levels = np.log(group.times[others]), np.log(group.reference / reference_s)
    if not others:
        return np.asarray(np.exp(levels.mean(axis=0)))
    shape = np.median(logs - np.median(logs, axis=1, keepdims=True), axis=0)
    if typical is not None:
        levels = np.concatenate([levels, logs - np.log(typical[others])[:, None]])
    return np.asarray(np.exp(shape + np.median(levels - shape)))


def select_rounds(factors: Floats) -> NDArray[np.bool_]:
    """The rounds that count, of their drift factors [rounds]: the half nearest to 1 without the
    outliers, but at least `MIN_COUNTED`. Rounds with equal factors count alike."""
    off = np.abs(np.log(factors))
    order = np.sort(off)
    half = int(np.ceil(COUNTED_SHARE * len(order)))
    near = int((order <= np.log(OUTLIER)).sum())
    count = min(len(order), max(MIN_COUNTED, min(half, near)))
    return np.asarray(off <= order[count - 1])


def outlier_rounds(factors: Floats) -> NDArray[np.bool_]:
    """The rounds whose drift factor is further than `OUTLIER` from 1, on either side."""
    return np.asarray(np.abs(np.log(factors)) > np.log(OUTLIER))


def corrected_samples(
    groups: Sequence[TimedGroup],
    rows: Sequence[Sequence[int]],
    reference_s: float,
    typical: Sequence[Floats] | None = None,
) -> Floats:
    """Drift-corrected times of some chains, over the rounds that count: [chains, samples].

    Args:
        rows: the chains' rows in each group; they are left out of its drift factors.
        typical: of each group, as for `drift_factor`.
    """
    known: Sequence[Floats | None] = typical or [None] * len(groups)
    times, factors = [], []
    for group, own, level in zip(groups, rows, known, strict=True):
        factors.append(drift_factor(group, reference_s, own, level))
        times.append(group.times[list(own)] / factors[-1])
    return np.concatenate(times, axis=1)[:, select_rounds(np.concatenate(factors))]
