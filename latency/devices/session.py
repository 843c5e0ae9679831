"""The interface of a session: an engine on a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from space.network.block import Chain

Log = Callable[[str], None]  # called with a line for people
Steady = bool | Sequence[bool]  # for all chains of a job, or per chain


@dataclass(frozen=True, slots=True)
class Timed:
    """The result of a job.

    `times`: float64 [chains, rounds], seconds of one run. `wall_s` and `processor_s`: what the job
    took on the device, of which `prepare_s` wall seconds went into loading. `state`: the device
    after the job (`latency.ondevice.host.state`).
    """

    times: NDArray[np.float64]
    wall_s: float
    processor_s: float
    prepare_s: float
    state: dict[str, Any] = field(default_factory=dict)


class Session(Protocol):
    """An engine on a device. `latency.devices.testing.SessionContract` has its tests.

    `where` names the device in messages. `chip` names the processor, or the accelerator that runs
    the engine. `host` differs between two devices of one chip. `host_info` goes into a table's
    header. `emulation` is empty, or the reason why the device's wall time is no latency.
    """

    where: str
    engine: str
    engine_version: str
    versions: dict[str, str]
    threads: int
    dtype: str
    chip: str
    host: str
    host_info: dict[str, Any]
    emulation: str

    def time(
        self, chains: Sequence[Chain], *, batch: int = 1, rounds: int = 5, steady: Steady = False
    ) -> Timed:
        """Time chains round by round, as `latency.ondevice.timing.time_rounds` does. A chain that
        occurs several times is loaded once and timed that often in each round.

        Raises:
            OSError: the device is gone, full, or cannot run a chain; one line says what to do.
            MemoryError: this machine has too little memory.
        """

    def outputs(self, chain: Chain, *, batch: int = 1) -> list[Any]:
        """Outputs of the chain for the engine's fixed input, float32 [n, c, h, w] or [n, c].

        Raises:
            OSError: as `time`.
        """

    def close(self) -> None:
        """End the session. Only the engine's package stays on the device."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def steady_flags(steady: Steady, chains: Sequence[Chain]) -> list[bool]:
    """`steady` as one value per chain."""
    return [steady] * len(chains) if isinstance(steady, bool) else list(steady)


def require_real_time(session: Session) -> None:
    """Refuse a session whose wall time is no latency; the null engine has a clock of its own.

    Raises:
        ValueError: the device is emulated.
    """
    if session.emulation and session.engine != "null":
        raise ValueError(
            f"{session.where} is emulated ({session.emulation}): its wall time is not latency, so "
            "no table or measurement follows from it; latency.estimate makes tables of ARM boards"
        )
