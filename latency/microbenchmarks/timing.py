"""Timing the microbenchmarks: what ten more blocks add to a chain of two, pass by pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from latency.engines.base import Engine
from latency.measure.block import Floats, chain_flops, probe, time_chains
from latency.microbenchmarks.cases import Case
from latency.ondevice.timing import WARM_UP
from space.network.block import Block, Chain

PASSES = 6  # each prepares every chain anew; they tell how far a repeated measurement differs
BEFORE = 2  # units before the ten blocks: their edges and the start of a run cancel


def chains(case: Case) -> tuple[Chain, Chain]:
    """The chain with the ten blocks and the one without.

    Both begin with a 1x1 convolution. An engine may keep maps in a layout of its own from the
    first convolution on; a shortcut straight from the input would keep it from doing so.
    """
    first = case.unit[0]
    lead = Block("conv", first.height, first.width, c_in=first.c_in, c_out=first.c_in)
    before = (lead, *case.unit * BEFORE)
    return (*before, *case.unit * case.repeats), before


def split_rounds(rounds: int) -> tuple[int, int]:
    """(passes, rounds of each) that make at least `rounds`; ValueError below 2."""
    if rounds < 2:
        raise ValueError(f"`rounds` must be at least 2, to tell the noise; got {rounds}")
    passes = min(PASSES, rounds)
    return passes, math.ceil(rounds / passes)


def jobs_of(cases: Sequence[Case]) -> list[list[int]]:
    """Indices of the cases that are timed in the same rounds: one width of one table each."""
    jobs: dict[tuple[int, int], list[int]] = {}
    for index, case in enumerate(cases):
        jobs.setdefault((case.table, case.scale), []).append(index)
    return list(jobs.values())


def estimate_s(cases: Sequence[Case], engine: Engine, batch: int, rounds: int) -> float:
    """Wall seconds that `measure` will take, from running a row of each table once."""
    sample = [chains(cases[job[-1]])[0] for job in jobs_of(cases)[::2]]
    prepare_s, per_flop_s = probe(sample, engine, batch)
    passes, each = split_rounds(rounds)
    flops = sum(chain_flops(chain) for case in cases for chain in chains(case))
    runs_each = 1 + 2 * (WARM_UP + each)
    return passes * (2 * len(cases) * prepare_s + flops * per_flop_s * runs_each)


def measure(
    cases: Sequence[Case],
    engine: Engine,
    *,
    batch: int = 1,
    rounds: int = 30,
    seed: int = 0,
    report: Callable[[int, int], None] | None = None,
) -> Floats:
    """Seconds of the ten blocks of each case inside a longer chain.

    The rows of one width of a table share every round. Jobs and rows come in another order in
    every pass.

    Args:
        report: told (jobs done, jobs) after each job.

    Returns:
        float64 [cases, passes, rounds of a pass].
    """
    passes, each = split_rounds(rounds)
    rng = np.random.default_rng(seed)
    jobs = jobs_of(cases)
    times = np.empty((len(cases), passes, each))
    for index in range(passes):
        for done, j in enumerate(rng.permutation(len(jobs)), 1):
            job = [jobs[j][i] for i in rng.permutation(len(jobs[j]))]
            both = [chain for i in job for chain in chains(cases[i])]
            found = time_chains(both, engine, batch=batch, rounds=each, steady=True)
            times[job, index] = found[0::2] - found[1::2]
            if report is not None:
                report(index * len(jobs) + done, passes * len(jobs))
    return times
