"""Chains timed by an engine in this process, without a session."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latency.engines.base import Engine
from latency.ondevice.timing import time_rounds
from space.network.block import Chain


def time_chains(
    chains: Sequence[Chain], engine: Engine, *, rounds: int, steady: bool = False
) -> NDArray[np.float64]:
    """Seconds of one run, float64 [chains, rounds]."""
    runs = [engine.prepare(chain) for chain in chains]
    found = list(time_rounds(runs, engine, engine.clock, rounds, [steady] * len(runs)))
    return np.array(found).T
