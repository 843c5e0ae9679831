"""The answer's networks measured whole, where the table is of the machine that searches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from latency.header import Header
from space.network import Network

ROUNDS = 9


def measured_whole(header: Header, networks: Sequence[Network]) -> list[float] | None:
    """Seconds of each network run whole with the table's engine, threads and batch, interleaved;
    None if the table was not measured on this chip, or its engine is not installed here."""
    from latency.engines import ENGINES, get_engine
    from latency.host import chip, emulated
    from latency.measure import time_chains

    here = header.source == "measured" and header.device == chip() and not emulated()
    if not here or header.engine not in ENGINES or header.engine == "null":
        return None
    try:
        engine = get_engine(header.engine, threads=header.threads)
    except ImportError:
        return None
    chains = [network.blocks for network in networks]
    times = time_chains(chains, engine, batch=header.batch, rounds=ROUNDS, steady=True)
    return [float(value) for value in np.median(times, axis=1)]
