"""Times chains of blocks so that a block's cost inside a network can be derived.

A block's seconds are a difference between two chains that run in the same rounds: one has more
copies of the block, everything else is alike. The costs that a loop over one block would distort
(layout changes at its edges, the start of a run) are the same in both and cancel. Caches are
overwritten before a timed run, as the rest of a network overwrites them between two runs of a
block; an untimed run before that leaves the outer cache as a network in use does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from latency.engines.base import Engine
from latency.measure.drift import TimedGroup, corrected_samples
from latency.ondevice.timing import Clock, time_rounds
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


def time_chains(
    chains: Sequence[Chain],
    engine: Engine,
    *,
    batch: int = 1,
    rounds: int = 5,
    steady: bool = False,
    clock: Clock | None = None,
) -> Floats:
    """Time chains round by round, each once a round, so that drift affects all alike.

    Args:
        steady: time each right after a run of its own, as a network in use, without overwriting
            the caches in between.

    Returns:
        Seconds of one run, float64 [chains, rounds].
    """
    runs = [engine.prepare(chain, batch) for chain in chains]
    found = list(time_rounds(runs, engine, clock or engine.clock, rounds, [steady] * len(runs)))
    return np.array(found, dtype=np.float64).T


def probe(chains: Sequence[Chain], engine: Engine, batch: int) -> tuple[float, float]:
    """(seconds to prepare a chain, seconds per multiply-add) from two runs of each chain, to
    estimate what a measurement takes."""
    started = time.monotonic()
    runs = [engine.prepare(chain, batch) for chain in chains]
    prepare_s = (time.monotonic() - started) / len(chains)
    for run in runs:
        run.run()
    started = time.monotonic()
    for run in runs:
        run.run()
    return prepare_s, (time.monotonic() - started) / sum(map(chain_flops, chains))


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
    q25, median, q75 = (float(q) for q in np.quantile(differences, (0.25, 0.5, 0.75)))
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


def settled(measured: Measurement, tolerance: float) -> bool:
    """Whether the relative standard error of the median is at most `tolerance`."""
    return measured.error <= tolerance
