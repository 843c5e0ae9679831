"""Measures the end-to-end latency of networks on a device: the reference for a table's sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latency.devices.open import GPU_ENGINES, open_session
from latency.devices.session import Session, require_real_time
from latency.engines.registry import ENGINES
from latency.measure.drift import (
    COUNTED_SHARE,
    TimedGroup,
    corrected_samples,
    drift_factor,
    outlier_rounds,
    reference_chain,
    time_with_reference,
    typical_reference_s,
)
from latency.ondevice.host import chip, emulated
from latency.table.header import TableHeader
from space.network.network import Network

ROUNDS = 36
TOGETHER = 12  # networks timed in the same rounds
ROUNDS_IN_A_PASS = 6  # before all other networks have their turn, so that drift affects all alike


@dataclass(frozen=True, slots=True)
class Timings:
    """All times of `count` networks: the numbers of those timed together, and their times."""

    count: int
    groups: tuple[tuple[NDArray[np.intp], TimedGroup], ...]

    @property
    def reference_s(self) -> float:
        """Typical seconds of the reference network (latency/measure/drift.py)."""
        return typical_reference_s([group for _, group in self.groups])

    def seconds(self, reference_s: float | None = None) -> NDArray[np.float64]:
        """Drift-corrected seconds of each network, float64 [n]: medians of the rounds that count.

        Args:
            reference_s: seconds of the reference at the machine's speed that the result is for;
                by default its typical seconds in these timings.
        """
        at = reference_s or self.reference_s
        first = np.array([self.network_s(n, at) for n in range(self.count)])
        # The estimates refine the drift factors of the other networks' groups; the level that all
        # have in common stays the reference's.
        found = np.array([self.network_s(n, at, first) for n in range(self.count)])
        return np.asarray(found * np.exp(np.mean(np.log(first / found))))

    def network_s(
        self, network: int, reference_s: float, typical: NDArray[np.float64] | None = None
    ) -> float:
        """Seconds of one network. `typical`: earlier estimates for all networks [n]."""
        groups, rows, numbers = zip(*self._groups_of(network), strict=True)
        levels = None if typical is None else [typical[each] for each in numbers]
        times = corrected_samples(groups, [[row] for row in rows], reference_s, levels)
        return float(np.median(times))

    def disturbed(self) -> NDArray[np.intp]:
        """The networks of whose rounds more than half are outliers."""
        at = self.reference_s
        factors = (
            [drift_factor(group, at, [row]) for group, row, _ in self._groups_of(network)]
            for network in range(self.count)
        )
        share = [outlier_rounds(np.concatenate(each)).mean() for each in factors]
        return np.flatnonzero(np.array(share) > 1 - COUNTED_SHARE)

    def _groups_of(self, network: int) -> list[tuple[TimedGroup, int, NDArray[np.intp]]]:
        """The groups that hold a network, its row in each, and the networks of each."""
        return [
            (group, numbers.tolist().index(network), numbers)
            for numbers, group in self.groups
            if network in numbers
        ]


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
    """Measure the end-to-end latency of networks, in interleaved rounds.

    Networks of whose rounds most are outliers are timed once more.

    Args:
        device: as `latency.devices.open.open_session` takes it.

    Returns:
        Drift-corrected seconds of each network, float64 [n] (latency/measure/drift.py).

    Raises:
        ValueError: unknown engine or device, no network, or an emulated machine.
        ImportError: the engine's package is not installed; the message says what to install.
        OSError: a remote device cannot be used.

    Example:
        >>> from space.zoo.families import shufflenet_v2
        >>> networks = [shufflenet_v2("0.5"), shufflenet_v2("1.0")]
        >>> small_s, large_s = measure_networks(networks, engine="null", rounds=2)
        >>> bool(small_s < large_s)
        True
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
    """The timings of `measure_networks`, on an open session.

    Args:
        report: called with (title, done, total) after each group.

    Raises:
        ValueError: no network, or an emulated machine.
        OSError: the connection to the device is lost.
    """
    require_real_time(session)
    if not networks:
        raise ValueError("`networks` must hold at least one network; got none")
    chains = [network.blocks for network in networks]
    reference = reference_chain(*networks[0].input_shape[1:])
    passes = max(1, rounds // ROUNDS_IN_A_PASS) if len(chains) > TOGETHER else 1
    groups: list[tuple[NDArray[np.intp], TimedGroup]] = []
    timed_networks, planned = 0, passes * len(chains)
    for index in range(2 * passes):
        rng = np.random.default_rng(index)
        order = rng.permutation(len(chains))
        if index >= passes:  # repeat what other programs disturbed
            repeated = Timings(len(chains), tuple(groups)).disturbed()
            if not len(repeated):
                break
            others = rng.permutation(np.setdiff1d(order, repeated))  # for the drift factors
            filled = others[: -len(repeated) % TOGETHER]
            order = np.concatenate([rng.permutation(repeated), filled])
            planned = timed_networks + len(order)
        for rows in (order[i : i + TOGETHER] for i in range(0, len(order), TOGETHER)):
            group, _ = time_with_reference(
                session,
                [chains[row] for row in rows],
                reference,
                batch=batch,
                rounds=-(-rounds // passes),
                steady=True,
            )
            groups.append((rows, group))
            timed_networks += len(rows)
            if report is not None:
                title = "repeated networks" if index >= passes else "networks"
                report(title, timed_networks, planned)
    return Timings(len(chains), tuple(groups))


def is_of_this_machine(header: TableHeader) -> bool:
    """Whether a table was measured on this chip, or on the GPU that torch uses here, and its
    engine runs here."""
    real = header.source == "measured" and header.engine in ENGINES and header.engine != "null"
    if not real or emulated():
        return False
    if header.engine in GPU_ENGINES:
        from latency.engines.torch.cuda_card import card_name

        return header.device == card_name()
    return header.device == chip()


def table_session(header: TableHeader) -> Session:
    """A session with the engine of a table of this machine, to measure as it was measured.

    Raises:
        ImportError: the engine is not installed.
        OSError: the GPU cannot be used.
    """
    device = "gpu" if header.engine in GPU_ENGINES else "cpu"
    return open_session(device, header.engine, threads=header.threads, dtype=header.dtype)
