"""The interface of a transport, which reaches the server on a device."""

from __future__ import annotations

import select
import signal
import threading
import time
from abc import ABC, abstractmethod
from typing import Any, NoReturn, Protocol

from latency.ondevice.checks import line
from space.common.errors import DeviceError, DroppedError

FOLDER = ".cache/g4nas"  # on the device, in the home folder
MOST_BYTES = 2**22  # of a line from a device: the times of a round of the largest job take 1 MB


class Stream(Protocol):
    """Stdin and stdout of a running server."""

    def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            DroppedError: the connection is gone.
            OSError: the server ended by itself.
        """

    def readline(self, timeout_s: float, most_bytes: int = MOST_BYTES) -> bytes:
        """A line with its end.

        Raises:
            DroppedError: the connection is gone, or no line came for `timeout_s`.
            DeviceError: the line is longer than `most_bytes`.
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


class Lines:
    """Cuts what arrives from the device `where` into lines."""

    def __init__(self, where: str) -> None:
        self._where, self._buffer, self._searched = where, bytearray(), 0

    def add(self, data: bytes) -> None:
        """Take what has arrived."""
        self._buffer += data

    def take(self, most_bytes: int = MOST_BYTES) -> bytes | None:
        """The next line with its end; None if it has not arrived.

        Raises:
            DeviceError: it is longer than `most_bytes`.
        """
        end = self._buffer.find(b"\n", self._searched)
        if max(end, len(self._buffer) if end < 0 else 0) > most_bytes:
            raise DeviceError(
                f"{self._where}: the worker's answer must be a line of at most {most_bytes} "
                f"bytes; it begins with {one_line(self._buffer[:60])!r}"
            )
        if end < 0:
            self._searched = len(self._buffer)  # once is enough
            return None
        found = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        self._searched = 0
        return found


class BufferedStream(ABC):
    """A stream whose input is cut into lines; `source` is the file or socket that `select` waits
    for."""

    def __init__(self, where: str, source: Any) -> None:
        self._where, self._source, self._lines = where, source, Lines(where)
        self._lock = threading.Lock()  # heartbeats come from another thread

    @abstractmethod
    def _receive(self) -> bytes:
        """The bytes that have arrived; empty at the end."""

    @abstractmethod
    def _raise_ended(self) -> NoReturn:
        """The error of a stream that has ended."""

    def readline(self, timeout_s: float, most_bytes: int = MOST_BYTES) -> bytes:
        until = time.monotonic() + timeout_s
        while (found := self._lines.take(most_bytes)) is None:
            left_s = max(0.0, until - time.monotonic())
            ready, _, _ = select.select([self._source], [], [], left_s)
            if not ready:
                raise DroppedError(f"{self._where} was silent for {timeout_s:.0f} s")
            data = self._receive()
            if not data:
                self._raise_ended()
            self._lines.add(data)
        return found


def one_line(text: object, longest: int = 300) -> str:
    """What a device or a tool said, on one line and without control characters, for a message."""
    if isinstance(text, bytes | bytearray):
        text = text[: 4 * longest].decode(errors="replace")
    return line(str(text), longest)


def ended(where: str, status: int | str | None, errors: bytes) -> str:
    """One line about a server that ended by itself.

    Args:
        status: its exit status, or minus the number of the signal that ended it, or its name.
        errors: the end of its stderr.
    """
    said = [text for text in map(one_line, errors.splitlines()) if text]
    if isinstance(status, int) and (status < 0 or 128 < status < 160):  # a shell adds 128
        number = -status if status < 0 else status - 128
        names = {each.value: each.name.removeprefix("SIG") for each in signal.Signals}
        status = names.get(number, str(number))
    how = f"signal {status}" if isinstance(status, str) else f"status {status}"
    if status == "KILL":
        how += " (out of memory there? use a smaller --batch)"
    return f"{where}: the worker ended with {how}{f': {said[-1]}' if said else ''}"
