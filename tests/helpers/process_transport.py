"""A device that is a child process of the tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

from latency.devices.archive import server_archive
from latency.devices.transport import BufferedStream, ended


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
