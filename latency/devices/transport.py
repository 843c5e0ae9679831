"""The interface of a transport, which reaches the server on a device."""

from __future__ import annotations

import select
import threading
from abc import ABC, abstractmethod
from typing import Any, NoReturn, Protocol

from space.common.errors import DroppedError

FOLDER = ".cache/g4nas"  # on the device, in the home folder


class Stream(Protocol):
    """Stdin and stdout of a running server."""

    def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            DroppedError: the connection is gone.
            OSError: the server ended by itself.
        """

    def readline(self, timeout_s: float) -> bytes:
        """A line with its end.

        Raises:
            DroppedError: the connection is gone, or nothing came for `timeout_s`.
            OSError: the server ended by itself; the message has its last line on stderr.
        """

    def close(self) -> None:
        """End the server if it runs; never raises."""


class Transport(Protocol):
    """A way to a device.

    `where` names the device in messages. `emulation` is empty, or a reason known on this side why
    its wall time is no latency. `host` identifies the device where it cannot itself, or is empty.
    """

    where: str
    emulation: str
    host: str

    def start(self) -> Stream:
        """Push the server if it is missing, and start it.

        Raises:
            DroppedError: no connection; another try may succeed.
            OSError, ValueError: the device cannot be used; one line says why.
        """

    def close(self) -> None:
        """Disconnect; never raises."""


class BufferedStream(ABC):
    """A stream whose input is cut into lines; `source` is the file or socket that `select` waits
    for."""

    def __init__(self, where: str, source: Any) -> None:
        self._where, self._source, self._buffer = where, source, b""
        self._lock = threading.Lock()  # heartbeats come from another thread

    @abstractmethod
    def _receive(self) -> bytes:
        """The bytes that have arrived; empty at the end."""

    @abstractmethod
    def _raise_ended(self) -> NoReturn:
        """The error of a stream that has ended."""

    def readline(self, timeout_s: float) -> bytes:
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._source], [], [], timeout_s)
            if not ready:
                raise DroppedError(f"{self._where} was silent for {timeout_s:.0f} s")
            data = self._receive()
            if not data:
                self._raise_ended()
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"


def ended(where: str, status: int | None, errors: bytes) -> str:
    """One line about a server that ended by itself."""
    lines = [line for line in errors.decode(errors="replace").splitlines() if line.strip()]
    how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
    last = f": {lines[-1].strip()[:300]}" if lines else ""
    return f"{where}: the worker ended with {how}{last}"
