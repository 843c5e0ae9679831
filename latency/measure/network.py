"""Whole networks measured on a device: what the sums of a table are judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from latency.devices.open import open_session
from latency.devices.session import Session
from latency.engines.registry import ENGINES
from latency.measure.drift import (
    SHARE,
    TimedGroup,
    drift_factor,
    outlier_rounds,
    reference_chain,
    samples,
    time_with_reference,
    typical_reference_s,
)
from latency.ondevice.host import chip, emulated
from latency.table.header import TableHeader
from space.network.network import Network

ROUNDS = 36
TOGETHER = 12  # networks timed in the same rounds
Member: TypeAlias = tuple[NDArray[np.intp], TimedGroup]  # networks timed together, and their times
IN_A_PASS = 6  # rounds before every other network has its turn: drift hits all alike


@dataclass(frozen=True, slots=True)
class Timings:
    """All times of `count` networks: which of them were timed together, and their times then."""

    count: int
    visits: tuple[Member, ...]

    @property
    def usual_s(self) -> float:
        """Seconds that the reference of the pace usually took (latency/measure/drift.py)."""
        return typical_reference_s([visit for _, visit in self.visits])

    def seconds(self, usual: float | None = None) -> NDArray[np.float64]:
        """Seconds of each network, float64 [n]: medians over the rounds that count, at the pace at
        which the reference takes `usual` seconds; by default its usual pace in these timings."""
        usual = usual or self.usual_s
        first = np.array([self._typical_s(n, usual) for n in range(self.count)])
        # What each takes tells the pace of the visits of the others; the reference alone tells
        # the level that all have in common.
        found = np.array([self._typical_s(n, usual, first) for n in range(self.count)])
        return np.asarray(found * np.exp(np.mean(np.log(first / found))))

    def _typical_s(
        self, network: int, usual: float, every: NDArray[np.float64] | None = None
    ) -> float:
        """Seconds of a network; `every`: what is known so far of all [n]."""
        members, places = self._of(network)
        visits = [visit for _, visit in members]
        typical = None if every is None else [every[rows] for rows, _ in members]
        times = samples(visits, [[place] for place in places], usual, typical)
        return float(np.median(times))

    def disturbed(self) -> NDArray[np.intp]:
        """The networks in more than half of whose rounds the pace was not the usual one."""
        usual, share = self.usual_s, []
        for network in range(self.count):
            members, places = self._of(network)
            paces = [
                drift_factor(v, usual, [p]) for (_, v), p in zip(members, places, strict=True)
            ]
            share.append(float(outlier_rounds(np.concatenate(paces)).mean()))
        return np.flatnonzero(np.array(share) > 1 - SHARE)

    def _of(self, network: int) -> tuple[list[Member], list[int]]:
        """The visits that a network was in, and its places there."""
        found = [(rows, v) for rows, v in self.visits if network in rows]
        return found, [rows.tolist().index(network) for rows, _ in found]


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
    """Seconds of each network, float64 [n], at the machine's usual pace: medians over the rounds
    that count (latency/measure/drift.py), which are interleaved with those of the others. Networks
    that were disturbed more often than not are timed again, at most as often as all were before.

    Args:
        device: as `latency.devices.open_session` takes it.

    Raises:
        ValueError: unknown engine or device, or an emulated machine.
        ImportError: the engine's package is not installed; the message says what to install.
        OSError: another device that cannot be used.
    """
    with open_session(device, engine, threads=threads, dtype=dtype) as session:
        return time_networks(session, networks, batch=batch, rounds=rounds).seconds()


def time_networks(
    session: Session,
    networks: Sequence[Network],
    *,
    batch: int = 1,
    rounds: int = ROUNDS,
    report: Callable[[str, int, int], object] | None = None,
) -> Timings:
    """What `measure_networks` times, on a session that is open; `report` is
    called with (what, done, total).

    Raises:
        ValueError: no network, or an emulated machine.
        OSError: the device is gone.
    """
    if session.emulation and session.engine != "null":
        raise ValueError(
            f"{session.where} is emulated ({session.emulation}): its wall time is not latency"
        )
    if not networks:
        raise ValueError("needs a network to time; got none")
    chains = [network.blocks for network in networks]
    reference = reference_chain(*networks[0].input_shape[1:])
    passes = max(1, rounds // IN_A_PASS) if len(chains) > TOGETHER else 1
    visits: list[Member] = []
    timed_networks, planned = 0, passes * len(chains)
    for index in range(2 * passes):
        rng = np.random.default_rng(index)
        order = rng.permutation(len(chains))
        if index >= passes:  # others ran beside it: those again that they disturbed
            again = Timings(len(chains), tuple(visits)).disturbed()
            if not len(again):
                break
            others = rng.permutation(np.setdiff1d(order, again))  # to tell how quiet it is now
            order = np.concatenate([rng.permutation(again), others[: -len(again) % TOGETHER]])
            planned = timed_networks + len(order)
        for rows in (order[i : i + TOGETHER] for i in range(0, len(order), TOGETHER)):
            visit, _ = time_with_reference(
                session,
                [chains[row] for row in rows],
                reference,
                batch=batch,
                rounds=-(-rounds // passes),
                steady=True,
            )
            visits.append((rows, visit))
            timed_networks += len(rows)
            if report is not None:
                report("again" if index >= passes else "networks", timed_networks, planned)
    return Timings(len(chains), tuple(visits))


def is_of(header: TableHeader, session: Session) -> bool:
    """Whether a table was measured on a session's chip, with its engine, threads and dtype."""
    wanted = (session.chip, session.engine, session.threads, session.dtype)
    found = (header.device, header.engine, header.threads, header.dtype)
    return header.source == "measured" and found == wanted and not session.emulation


def is_of_this_machine(header: TableHeader) -> bool:
    """Whether a table was measured on this chip, with an engine that is known here."""
    real = header.source == "measured" and header.engine in ENGINES and header.engine != "null"
    return real and header.device == chip() and not emulated()
