"""Whole networks measured on this machine: what the sums of a table are judged by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latency.engines import ENGINES, get_engine
from latency.header import Header
from latency.host import chip, emulated
from latency.measure import time_chains
from space.network import Network

ROUNDS = 9
TOGETHER = 12  # networks timed in the same rounds


def measure_networks(
    networks: Sequence[Network],
    *,
    engine: str = "onnxruntime",
    threads: int = 1,
    batch: int = 1,
    rounds: int = ROUNDS,
) -> NDArray[np.float64]:
    """Seconds of each network, float64 [n]: medians, interleaved with those timed beside it.

    Raises:
        ValueError: unknown engine, or an emulated machine.
        ImportError: the engine's package is not installed; the message says what to install.
    """
    runner = get_engine(engine, threads=threads)
    if emulated() and engine != "null":
        raise ValueError("this machine is emulated: its wall time is not latency")
    chains = [network.blocks for network in networks]
    times = [
        time_chains(chains[i : i + TOGETHER], runner, batch=batch, rounds=rounds, steady=True)
        for i in range(0, len(chains), TOGETHER)
    ]
    return np.median(np.concatenate(times), axis=1)


def is_of_this_machine(header: Header) -> bool:
    """Whether a table was measured on this chip, with an engine that is known here."""
    real = header.source == "measured" and header.engine in ENGINES and header.engine != "null"
    return real and header.device == chip() and not emulated()
