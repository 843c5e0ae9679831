"""An engine on a device: what every session can do, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from space.network.block import Chain

Say = Callable[[str], None]
Steady = bool | Sequence[bool]  # of all chains of a job alike, or of each


@dataclass(frozen=True, slots=True)
class Timed:
    """A job's times, float64 [chains, rounds] in seconds, and what it took on the device:
    wall and processor seconds, of which `prepare_s` for loading; the machine's state after it."""

    times: NDArray[np.float64]
    wall_s: float
    processor_s: float
    prepare_s: float
    state: dict[str, Any] = field(default_factory=dict)


class Session(Protocol):
    """An engine on a device.

    `chip` names the processor (or the accelerator that runs the engine), `host` tells two devices
    of one chip apart, `host_info` is what a table's header says of the machine. `emulation` says why
    its time is no latency, or is empty.
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
        comes several times is loaded once and timed as often in each round.

        Raises:
            OSError: the device is gone, full, or cannot run a chain; one line says what to do.
        """

    def close(self) -> None:
        """End it; what it left on the device but the engine's package is removed."""

    def __enter__(self) -> Session: ...

    def __exit__(self, *_: object) -> None: ...


def of_each(steady: Steady, chains: Sequence[Chain]) -> list[bool]:
    """Whether each of the chains is timed in steady use."""
    return [steady] * len(chains) if isinstance(steady, bool) else list(steady)
