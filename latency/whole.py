"""Whole networks measured on a device: what the sums of a table are judged by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latency.devices import Session, open_session
from latency.engines import ENGINES
from latency.header import Header
from latency.machine import chip, emulated
from latency.progress import Show
from latency.quiet import Visit, disturbed_rows, typical_s
from space.network import Network

ROUNDS = 24
TOGETHER = 12  # networks timed in the same rounds
IN_A_PASS = 4  # rounds before every other network has its turn: drift hits all alike


def measure_networks(
    networks: Sequence[Network],
    *,
    engine: str = "onnxruntime",
    threads: int = 1,
    batch: int = 1,
    rounds: int = ROUNDS,
    dtype: str = "float32",
    device: str = "cpu",
) -> NDArray[np.float64]:
    """Seconds of each network, float64 [n]: medians over the quieter rounds, which are interleaved
    with those of the others. Networks that were disturbed more often than not are timed again,
    at most as often as all were before.

    Args:
        device: as `latency.devices.open_session` takes it.

    Raises:
        ValueError: unknown engine or device, or an emulated machine.
        ImportError: the engine's package is not installed; the message says what to install.
        OSError: another device that cannot be used.
    """
    with open_session(device, engine, threads=threads, dtype=dtype) as session:
        return time_networks(session, networks, batch=batch, rounds=rounds)


def time_networks(
    session: Session,
    networks: Sequence[Network],
    *,
    batch: int = 1,
    rounds: int = ROUNDS,
    show: Show | None = None,
) -> NDArray[np.float64]:
    """`measure_networks` on a session that is open; `show` is told how far it is."""
    if session.emulation and session.engine != "null":
        raise ValueError(
            f"{session.where} is emulated ({session.emulation}): its wall time is not latency"
        )
    chains = [network.blocks for network in networks]
    passes = max(1, rounds // IN_A_PASS) if len(chains) > TOGETHER else 1
    visits: list[Visit] = []
    timed_networks, planned = 0, passes * len(chains)
    for index in range(2 * passes):
        rng = np.random.default_rng(index)
        order = rng.permutation(len(chains))
        if index >= passes:  # others ran beside it: those again that they disturbed
            again = disturbed_rows(len(chains), visits)
            if not len(again):
                break
            others = rng.permutation(np.setdiff1d(order, again))  # to tell how quiet it is now
            order = np.concatenate([rng.permutation(again), others[: -len(again) % TOGETHER]])
            planned = timed_networks + len(order)
        for rows in (order[i : i + TOGETHER] for i in range(0, len(order), TOGETHER)):
            some = [chains[row] for row in rows]
            timed = session.time(some, batch=batch, rounds=-(-rounds // passes), steady=True)
            visits.append((rows, timed.times))
            timed_networks += len(rows)
            if show is not None:
                show("again" if index >= passes else "networks", timed_networks, planned)
    return typical_s(len(chains), visits)


def is_of(header: Header, session: Session) -> bool:
    """Whether a table was measured on a session's chip, with its engine, threads and dtype."""
    wanted = (session.chip, session.engine, session.threads, session.dtype)
    found = (header.device, header.engine, header.threads, header.dtype)
    return header.source == "measured" and found == wanted and not session.emulation


def is_of_this_machine(header: Header) -> bool:
    """Whether a table was measured on this chip, with an engine that is known here."""
    real = header.source == "measured" and header.engine in ENGINES and header.engine != "null"
    return real and header.device == chip() and not emulated()
