"""A device over ssh. Host keys are checked, keys or an agent log in; passwords are not used."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

from latency.devices.archive import server_archive
from latency.devices.ssh_login import log_in
from latency.devices.transport import FOLDER, MOST_BYTES, Lines, Stream, ended, one_line
from space.common.errors import DeviceError, DroppedError

CONNECT_S = 20.0
KEEPALIVE_S = 15.0  # after three without an answer the connection counts as lost
GOODBYE_S = 5.0
ERRORS_BYTES = 4096  # of the server's stderr that are kept
FX_NO_SPACE = 14  # SSH_FX_NO_SPACE_ON_FILESYSTEM, draft-ietf-secsh-filexfer-13, section 9.1
T = TypeVar("T")


class Loop:
    """An event loop in its own thread, for synchronous callers."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # interrupted
            future.cancel()
            raise

    def close(self) -> None:
        if not self._loop.is_closed():
            self.run(self._cancel())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _cancel(self) -> None:
        """End every other task."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class SshTransport:
    """A device that `ssh` reaches. asyncssh reads `~/.ssh/config`, `known_hosts`, keys and agents.

    `address` is [user@]host[:port], or ValueError; the host may be a name from `~/.ssh/config`.
    ImportError without asyncssh.
    """

    emulation = ""
    host = ""

    def __init__(self, address: str, *, python: str = "python3") -> None:
        try:
            import asyncssh
        except ImportError as error:
            raise ImportError(
                "a device over ssh needs asyncssh, which is not here: pip install asyncssh"
            ) from error
        self._ssh: Any = asyncssh
        self.where = f"ssh://{address}"
        parts = urlsplit(self.where)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if not parts.hostname or parts.path or parts.password or port == 0:
            raise ValueError(
                f"an ssh device must be ssh://[user@]host[:port], without a password; got "
                f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
            )
        self._host, self._python = parts.hostname, python
        self._options: dict[str, Any] = {
            "connect_timeout": CONNECT_S, "login_timeout": CONNECT_S,
            "keepalive_interval": KEEPALIVE_S,
        }  # fmt: skip
        if port:
            self._options["port"] = port
        if parts.username:
            self._options["username"] = parts.username
        self._loop: Loop | None = None
        self._connection: Any = None

    def start(self) -> Stream:
        self._loop = self._loop or Loop()
        return self._loop.run(self._start(self._loop))

    async def _start(self, loop: Loop) -> Stream:
        ssh = self._ssh
        await self._disconnect()
        try:
            self._connection = await log_in(ssh, self._host, self._options, self.where)
            path = await self._push()
            command = f"{self._python} {shlex.quote(path)} {FOLDER}"
            process = await self._connection.create_process(command, encoding=None)
        except DeviceError:
            raise
        except ssh.SFTPError as error:
            full = " (is it full?)" if error.code in (ssh.FX_FAILURE, FX_NO_SPACE) else ""
            raise OSError(
                f"{self.where}: the worker cannot be written to {FOLDER}{full}: {error.reason}"
            ) from None
        except ValueError as error:  # of a server that keeps to no protocol
            raise DeviceError(f"{self.where}: {one_line(error)}") from None
        except (TimeoutError, OSError, ssh.Error) as error:
            reason = getattr(error, "strerror", None) or getattr(error, "reason", "") or error
            text = f"{self.where} cannot be reached: {one_line(reason) or 'no answer'}"
            raise DroppedError(text) from None
        return SshStream(self, loop, process)

    async def _push(self) -> str:
        """Bring the server to FOLDER on the device; return its path."""
        name, data = server_archive()
        path = f"{FOLDER}/{name}"
        async with self._connection.start_sftp_client() as sftp:
            if await sftp.exists(path) and await sftp.getsize(path) == len(data):
                return path
            await sftp.makedirs(FOLDER, exist_ok=True)
            async with sftp.open(f"{path}.new", "wb") as file:
                await file.write(data)
            if await sftp.exists(path):
                await sftp.remove(path)
            await sftp.rename(f"{path}.new", path)
        return path

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            with contextlib.suppress(Exception):
                await asyncio.wait_for(connection.wait_closed(), GOODBYE_S)

    def close(self) -> None:
        if self._loop is not None:
            self._loop.run(self._disconnect())
            self._loop.close()
            self._loop = None


class SshStream:
    """A server that a connection runs. It is made in `loop`."""

    def __init__(self, transport: SshTransport, loop: Loop, process: Any) -> None:
        self._transport, self._loop, self._process = transport, loop, process
        self._where = transport.where
        self._last_errors = b""
        self._errors = asyncio.create_task(self._collect_errors())
        self._lines = Lines(self._where)

    async def _collect_errors(self) -> None:
        with contextlib.suppress(Exception):
            while data := await self._process.stderr.read(2**16):
                self._last_errors = (self._last_errors + data)[-ERRORS_BYTES:]

    def write(self, data: bytes) -> None:
        self._loop.run(self._write(data))

    async def _write(self, data: bytes) -> None:
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except (OSError, self._transport._ssh.Error) as error:
            raise DroppedError(f"{self._where} was lost ({error})") from None

    def readline(self, timeout_s: float, most_bytes: int = MOST_BYTES) -> bytes:
        return self._loop.run(self._readline(timeout_s, most_bytes))

    async def _readline(self, timeout_s: float, most_bytes: int) -> bytes:
        process = self._process
        try:
            async with asyncio.timeout(timeout_s):
                while (line := self._lines.take(most_bytes)) is None:
                    data = await process.stdout.read(2**16)
                    if not data:
                        break
                    self._lines.add(data)
        except TimeoutError:
            raise DroppedError(f"{self._where} was silent for {timeout_s:.0f} s") from None
        except DeviceError:
            raise
        except (OSError, self._transport._ssh.Error) as error:
            raise DroppedError(f"{self._where} was lost ({one_line(error)})") from None
        if line is not None:
            return line
        with contextlib.suppress(Exception):
            await asyncio.wait_for(process.wait_closed(), GOODBYE_S)
            await asyncio.wait_for(self._errors, GOODBYE_S)
        status = process.exit_status
        if process.exit_signal is not None:
            raise OSError(ended(self._where, process.exit_signal[0], self._last_errors))
        if status is None:
            raise DroppedError(f"{self._where} was lost")
        if status == 127:
            raise OSError(f"{self._where} has no {self._transport._python}: install Python 3.9+")
        raise OSError(ended(self._where, status, self._last_errors))

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._loop.run(self._close())

    async def _close(self) -> None:
        with contextlib.suppress(Exception):
            self._process.stdin.write_eof()
            await asyncio.wait_for(self._process.wait_closed(), GOODBYE_S)
        self._errors.cancel()
        self._process.close()
