"""Times chains of blocks so that a block's cost inside a network can be derived.

A block's seconds are a difference between two chains that run in the same rounds: one has more
copies of the block. The costs that a loop over one block would distort (layout changes at its
edges, the start of a run) are the same in both and cancel. Caches are overwritten before a timed
run, as the rest of a network does; an untimed run before that leaves the outer cache as in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from latency.measure.drift import TimedGroup, corrected_samples
from latency.ondevice.timing import WARM_UP
from latency.table.latency_table import Measurement
from space.network.block import Block, Chain

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BlockTarget:
    """A block in context: `copies` of it after the chain `before`, compared with none."""

    block: Block
    before: Chain = ()
    copies: int = 1

    @property
    def long(self) -> Chain:
        """The chain with the copies."""
        return (*self.before, *(self.block,) * self.copies)

    @property
    def chains(self) -> tuple[Chain, ...]:
        """The chains to time: the short one, if it is not empty, and the long one."""
        return (self.before, self.long) if self.before else (self.long,)


def runs_of(rounds: int) -> int:
    """Runs of a chain with a fine clock: one to choose its loops, then two a round."""
    return 1 + 2 * (WARM_UP + rounds)


def chain_flops(chain: Chain) -> int:
    """Multiply-adds of a chain."""
    return sum(block.flops for block in chain)


def measurement(copies: int, long: Floats, before: Floats | None = None) -> Measurement:
    """The seconds that one block adds: quantiles of the differences, round by round, between the
    times [n] of the long chain and of the one before it.

    Raises:
        ValueError: the long chain was not slower, so noise exceeds the block's cost.
    """
    differences = (long - (0.0 if before is None else before)) / copies
    q25, median, q75 = np.quantile(differences, (0.25, 0.5, 0.75)).tolist()
    return Measurement(median, q25, q75, len(long))


def target_measurement(
    target: BlockTarget, chains: Sequence[Chain], groups: Sequence[TimedGroup], reference_s: float
) -> Measurement:
    """The seconds that a target's block adds, drift-corrected, over the rounds that count.

    Args:
        chains: the chains that were timed together, the target's own among them.
        groups: all times of these.
        reference_s: `latency.measure.drift.typical_reference_s` of the complete measurement.

    Raises:
        ValueError: noise exceeds the block's cost.
    """
    rows = [chains.index(chain) for chain in target.chains]
    times = corrected_samples(groups, [rows] * len(groups), reference_s)
    return measurement(target.copies, times[-1], times[0] if target.before else None)
