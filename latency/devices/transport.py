"""How a worker is reached: what each way must give, and a worker as a child process."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from latency.devices.archive import server_archive
from space.common.errors import DroppedError

FOLDER = ".cache/g4nas"  # on the device, in the home folder


class Stream(Protocol):
    """A running worker's stdin and stdout."""

    def write(self, data: bytes) -> None:
        """DroppedError if the worker or the way to it is gone."""

    def readline(self, timeout_s: float) -> bytes:
        """A line with its end.

        Raises:
            DroppedError: the way to the worker is gone, or nothing came for `timeout_s`.
            OSError: the worker ended by itself; the message has the last thing it said.
        """

    def close(self) -> None:
        """End the worker if it runs; never raises."""


class Transport(Protocol):
    """A way to a device. `emulation`: why it is known from here that its time is no latency."""

    where: str
    emulation: str
    host: str  # tells devices apart where they cannot themselves; may be empty

    def start(self) -> Stream:
        """Push the worker if it is not there, and start it.

        Raises:
            DroppedError: no connection; another try may succeed.
            OSError, ValueError: it cannot be used as it is; one line says why.
        """

    def close(self) -> None:
        """Disconnect; never raises."""


class ProcessStream:
    """A worker that is a child of this process."""

    def __init__(self, command: Sequence[str], where: str, env: Mapping[str, str] | None) -> None:
        self._where = where
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
        self._in, self._out = self.process.stdin, self.process.stdout
        self._buffer = b""
        self._lock = threading.Lock()  # heartbeats come from another thread

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            with self._lock:
                while view:
                    view = view[self._in.write(view) :]
        except (OSError, ValueError):
            self._raise_ended()

    def readline(self, timeout_s: float) -> bytes:
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._out], [], [], timeout_s)
            if not ready:
                raise DroppedError(f"{self._where} was silent for {timeout_s:.0f} s")
            data = os.read(self._out.fileno(), 2**20)
            if not data:
                self._raise_ended()
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    def _raise_ended(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self._errors.seek(0)
        raise OSError(ended(self._where, self.process.poll(), self._errors.read()))

    def close(self) -> None:
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            self.process.wait(5)  # it ends with its stdin
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._errors.close()


def ended(where: str, status: int | None, errors: bytes) -> str:
    """One line about a worker that ended by itself."""
    said = [line for line in errors.decode(errors="replace").splitlines() if line.strip()]
    how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
    last = f": {said[-1].strip()[:300]}" if said else ""
    return f"{where}: the worker ended with {how}{last}"


class ProcessTransport:
    """The worker as a child process, by any command that takes the place of `python3`.

    Args:
        python: the start of the command line; this process's own Python if None.
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
        """Nothing is held."""
