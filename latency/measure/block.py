"""Timing chains of blocks, so that what a block costs *inside a network* can be told.

A block's seconds are a difference between two chains run in the same rounds: one with more copies
of the block than the other, and everything else alike. What a loop over one block would get wrong
(layout changes at its edges, the cost of starting a run) is the same in both. Before a run is
timed caches are overwritten, as the rest of a network overwrites them between two
runs of one block; the chain's own run before that leaves the outer cache as a network in use does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from latency.engines.base import Engine
from latency.measure.drift import TimedGroup, samples
from latency.ondevice.timing import Clock, time_rounds
from latency.table.latency_table import Measurement
from space.network.block import Block, Chain

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BlockTarget:
    """A block and where it stands: `copies` of it after the chain `before`, against none."""

    block: Block
    before: Chain = ()
    copies: int = 1

    @property
    def long(self) -> Chain:
        return (*self.before, *(self.block,) * self.copies)

    @property
    def chains(self) -> tuple[Chain, ...]:
        """What must be timed."""
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
    """Time chains round by round, each once a round, so that drift hits all alike.

    Args:
        steady: time each right after a run of its own, as a network in use; without
            overwriting the caches in between.

    Returns:
        Seconds of one run, float64 [chains, rounds].
    """
    runs = [engine.prepare(chain, batch) for chain in chains]
    found = list(time_rounds(runs, engine, clock or engine.clock, rounds, [steady] * len(runs)))
    return np.array(found, dtype=np.float64).T


def probe(chains: Sequence[Chain], engine: Engine, batch: int) -> tuple[float, float]:
    """(seconds to prepare a chain, seconds per multiply-add), from running a few chains once: for
    saying beforehand what a measurement will take."""
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
    """What one block adds: quantiles of the differences, round by round, between times [n] of the
    long chain and of the one before it.

    Raises:
        ValueError: the long chain was not slower: too noisy to tell.
    """
    differences = (long - (0.0 if before is None else before)) / copies
    q25, median, q75 = (float(q) for q in np.quantile(differences, (0.25, 0.5, 0.75)))
    return Measurement(median, q25, q75, len(long))


def target_measurement(
    target: BlockTarget, chains: Sequence[Chain], visits: Sequence[TimedGroup], usual: float
) -> Measurement:
    """What a target's block adds at the machine's usual pace, over the rounds that count: the
    other chains and the reference tell which.

    Args:
        chains: what was timed together, the target's own among them.
        visits: all times of these.
        usual: `latency.measure.drift.usual_s` of the whole measurement.

    Raises:
        ValueError: too noisy to tell.
    """
    rows = [chains.index(chain) for chain in target.chains]
    times = samples(visits, [rows] * len(visits), usual)
    return measurement(target.copies, times[-1], times[0] if target.before else None)


def settled(measured: Measurement, tolerance: float) -> bool:
    """Whether the standard error of the median is small enough, relative to it."""
    return measured.error <= tolerance
