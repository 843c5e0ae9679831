"""How fast the machine was in every round of a measurement, and which rounds count.

Other programs, other tenants of a virtual machine and a chip that slows itself down change a
machine's pace by tens of percent, for seconds or for hours, all chains nearly alike. So every job
also times one network that never changes, ShuffleNet v2 1.5x, which takes about as long as a
network of the space mostly does. The pace of a round is that network's time over what it usually
takes; all other times are divided by it. What is left are seconds of the machine at its usual
pace, whenever they were measured. No prediction of a table has a part in it.

A chain's own time in a round never decides whether that round counts for it: choosing fast samples
would make it look fast.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from space.network.block import Block
from space.zoo.families import shufflenet_v2

if TYPE_CHECKING:
    from latency.devices.session import Session, Timed

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

REFERENCE = "ShuffleNet v2 1.5x"  # the network that tells the pace
USUAL_QUANTILE = 0.25  # of visits, by its time in them: the middle of the quieter half
SHARE = 0.5  # of the rounds counts
LEAST = 4  # rounds count, if there are as many
DISTURBED = 1.1  # times the usual pace, or that much faster: such rounds count only as LEAST


@dataclass(frozen=True, slots=True)
class TimedGroup:
    """Chains timed together: seconds [chains, rounds], and of the reference [samples, rounds]."""

    times: Floats
    reference: Floats


def reference_chain(height: int, width: int) -> tuple[Block, ...]:
    """The blocks of the reference on images of that size."""
    return shufflenet_v2("1.5", height, width).blocks


def time_with_reference(
    session: Session,
    chains: Sequence[tuple[Block, ...]],
    reference: tuple[Block, ...],
    *,
    batch: int = 1,
    rounds: int = 5,
    steady: bool = False,
) -> tuple[TimedGroup, Timed]:
    """Time chains round by round, the reference before the first; with `steady`, as for whole
    networks, also before the middle one: their own noise is small, the pace's should be too.

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


def typical_reference_s(visits: Sequence[TimedGroup]) -> float:
    """Seconds that the reference usually takes. Of the visits' medians, so that it does not depend
    on how many samples a visit has."""
    return float(np.quantile([np.median(v.reference) for v in visits], USUAL_QUANTILE))


def drift_factor(
    visit: TimedGroup, usual: float, without: Collection[int] = (), typical: Floats | None = None
) -> Floats:
    """The pace of each round [rounds], 1 if the reference takes its `usual` seconds, more if the
    machine is slower. All chains but those `without` tell how the rounds of a visit differ, since
    the median of many is less noisy than two samples; the reference tells their level, and all
    where no chain is left.

    Args:
        typical: seconds of the chains [chains] at the usual pace, where other visits tell them:
            then they tell the level as the reference does.
    """
    others = [row for row in range(len(visit.times)) if row not in without]
    logs, levels = np.log(visit.times[others]), np.log(visit.reference / usual)
    if not others:
        return np.asarray(np.exp(levels.mean(axis=0)))
    shape = np.median(logs - np.median(logs, axis=1, keepdims=True), axis=0)
    if typical is not None:
        levels = np.concatenate([levels, logs - np.log(typical[others])[:, None]])
    return np.asarray(np.exp(shape + np.median(levels - shape)))


def select_rounds(paces: Floats) -> Mask:
    """The rounds that count, of their paces [rounds]: the half nearest to the usual one, without
    those that are further than `DISTURBED`; but `LEAST` of them in any case. All that are alike
    count alike."""
    off = np.abs(np.log(paces))
    order = np.sort(off)
    half = int(np.ceil(SHARE * len(order)))
    near = int((order <= np.log(DISTURBED)).sum())
    count = min(len(order), max(LEAST, min(half, near)))
    return np.asarray(off <= order[count - 1])


def outlier_rounds(paces: Floats) -> Mask:
    """The rounds that are further than `DISTURBED` from the usual pace."""
    return np.asarray(np.abs(np.log(paces)) > np.log(DISTURBED))


def samples(
    visits: Sequence[TimedGroup],
    rows: Sequence[Sequence[int]],
    usual: float,
    typical: Sequence[Floats] | None = None,
) -> Floats:
    """Times of some chains at the usual pace, over the rounds that count: [chains, samples].

    Args:
        rows: of each visit, where these chains are in it; they have no say in its pace.
        typical: of each visit, as in `pace`.
    """
    known: Sequence[Floats | None] = typical or [None] * len(visits)
    paces = [drift_factor(v, usual, r, t) for v, r, t in zip(visits, rows, known, strict=True)]
    times = [v.times[list(r)] / p for v, r, p in zip(visits, rows, paces, strict=True)]
    return np.concatenate(times, axis=1)[:, select_rounds(np.concatenate(paces))]
