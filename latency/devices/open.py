"""Opens a session with an engine on this machine or on a device that is reached from it."""

from __future__ import annotations

from latency.devices.session import Log, Session

GPU_ENGINES = ("torch-cuda",)


def open_session(
    device: str = "cpu",
    engine: str = "onnxruntime",
    *,
    threads: int = 1,
    dtype: str = "float32",
    log: Log = lambda line: None,
) -> Session:
    """Open an engine on a device. Use the session as a context manager, or close it.

    Args:
        device: `cpu` or `gpu` of this machine, `ssh://user@host[:port]`, or `adb://SERIAL`.
        engine: a name in `latency.engines.registry.ENGINES`.
        threads: processor threads of one run.
        dtype: one of the engine's, as float32 or int8.
        log: called with a line about pushed packages and lost connections.

    Raises:
        ValueError: unknown device, engine or dtype, or an engine that cannot run on that device.
        ImportError: a package is not installed; the message says which one to install.
        OSError: the device cannot be reached or used; one line says why.

    Example:
        >>> from space.network.block import Block
        >>> unit = Block("shufflenet_v2", 28, 28, c_in=64, c_out=64, branch=32)
        >>> with open_session("cpu", "null") as session:
        ...     seconds = session.time([(unit,), (unit, unit)], rounds=3).times
        >>> seconds.shape
        (2, 3)
    """
    from latency.engines.registry import ENGINES, get_engine

    scheme, _, address = device.partition("://")
    if device not in ("cpu", "gpu") and (scheme not in ("ssh", "adb") or not address):
        raise ValueError(
            f"a device must be cpu, gpu, ssh://user@host[:port] or adb://SERIAL; got {device!r}"
        )
    if not address:
        if (device == "gpu") != (engine in GPU_ENGINES):
            raise ValueError(
                f"--device {device} needs an engine that runs there: gpu has "
                f"{', '.join(GPU_ENGINES)}, cpu the others; got {engine!r}"
            )
        from latency.devices.local import LocalSession

        return LocalSession(get_engine(engine, threads=threads, dtype=dtype))
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

        return RemoteSession(SshTransport(address), writer, log=log)
    from latency.devices.adb import AdbTransport

    return RemoteSession(AdbTransport(address, log=log), writer, log=log)
