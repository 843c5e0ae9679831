"""The interface of a transport, which reaches the server on a device, and the simplest one."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn, Protocol

from latency.devices.archive import server_archive
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


class ProcessStream(BufferedStream):
    """A server that is a child of this process."""

    def __init__(self, command: Sequence[str], where: str, env: Mapping[str, str] | None) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
                env=None if env is None else dict(env), start_new_session=True, bufsize=0,
            )  # fmt: skip
        except OSError as error:
            self._errors.close()
            raise OSError(f"{where}: {command[0]} cannot be run: {error.strerror}") from None
        assert self.process.stdin and self.process.stdout
        self._in = self.process.stdin
        super().__init__(where, self.process.stdout)

    def _receive(self) -> bytes:
        return os.read(self._source.fileno(), 2**20)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            with self._lock:
                while view:
                    view = view[self._in.write(view) :]
        except (OSError, ValueError):
            self._raise_ended()

    def _raise_ended(self) -> NoReturn:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self._errors.seek(0)
        raise OSError(ended(self._where, self.process.poll(), self._errors.read()))

    def close(self) -> None:
        for pipe in (self._in, self._source):
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            self.process.wait(5)  # it ends with its stdin
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._errors.close()


def ended(where: str, status: int | None, errors: bytes) -> str:
    """One line about a server that ended by itself."""
    said = [line for line in errors.decode(errors="replace").splitlines() if line.strip()]
    how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
    last = f": {said[-1].strip()[:300]}" if said else ""
    return f"{where}: the worker ended with {how}{last}"


class ProcessTransport:
    """The server as a child process, started by any command in place of `python3`.

    Args:
        folder: the device's folder for the server and engine packages.
        python: the start of the command line; None: this process's own Python.
        emulation: set where `python` runs under an emulator.
    """

    host = ""

    def __init__(
        self,
        folder: Path,
        python: Sequence[str] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        where: str = "a process",
        emulation: str = "",
    ) -> None:
        self._folder, self._env = folder, env
        self._python = list(python or (sys.executable, "-I"))
        self.where, self.emulation = where, emulation

    def start(self) -> ProcessStream:
        name, data = server_archive()
        path = self._folder / name
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        command = [*self._python, str(path), str(self._folder)]
        return ProcessStream(command, self.where, self._env)

    def close(self) -> None:
        """Nothing to end."""
