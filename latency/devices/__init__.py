"""Where an engine is measured: this machine, or one that is reached from it.

`open_session` gives the engine on a device; `Session.time` measures chains of blocks there. All
that builds, checks or compares latencies goes through it, so that each works on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from latency.measure import Chain

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
    of one chip apart, `facts` is what a table's header says of the machine. `emulation` says why
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
    facts: dict[str, Any]
    emulation: str

    def time(
        self, chains: Sequence[Chain], *, batch: int = 1, rounds: int = 5, steady: Steady = False
    ) -> Timed:
        """Time chains round by round, as `latency.timing.time_rounds` does. A chain that comes
        several times is loaded once and timed as often in each round.

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


def open_session(
    device: str = "cpu",
    engine: str = "onnxruntime",
    *,
    threads: int = 1,
    dtype: str = "float32",
    say: Say = lambda line: None,
) -> Session:
    """An engine on a device: `cpu` and `gpu` are this machine, `ssh://user@host[:port]` and
    `adb://SERIAL` others.

    Raises:
        ValueError: unknown device, engine or dtype, or an engine that cannot run there.
        ImportError: a package is missing here; the message says what to install.
        OSError: the device cannot be reached or used; one line says why.
    """
    from latency.engines import ENGINES, get_engine

    scheme, mark, address = device.partition("://")
    if not mark:
        if device not in ("cpu", "gpu"):
            raise ValueError(f"{KNOWN}; got {device!r}")
        if (device == "gpu") != (engine in GPU_ENGINES):
            raise ValueError(
                f"--device {device} needs an engine that runs there: gpu has "
                f"{', '.join(GPU_ENGINES)}, cpu the others; got {engine!r}"
            )
        from latency.devices.local import LocalSession

        return LocalSession(get_engine(engine, threads=threads, dtype=dtype))
    if scheme not in ("ssh", "adb") or not address:
        raise ValueError(f"{KNOWN}; got {device!r}")
    from latency.devices.archive import has_runner
    from latency.devices.remote import RemoteSession

    if engine in ENGINES and not has_runner(engine):
        raise ValueError(
            f"engine {engine} runs on this machine alone: {device} needs one whose models are "
            f"files ({', '.join(filter(has_runner, ENGINES))})"
        )
    writer = get_engine(engine, threads=threads, dtype=dtype, here=False)
    if scheme == "ssh":
        from latency.devices.ssh import SshTransport

        return RemoteSession(SshTransport(address), writer, say=say)
    from latency.devices.adb import AdbTransport

    return RemoteSession(AdbTransport(address, say=say), writer, say=say)


KNOWN = "a device must be cpu, gpu, ssh://user@host[:port] or adb://SERIAL"
GPU_ENGINES = ("torch-cuda",)
