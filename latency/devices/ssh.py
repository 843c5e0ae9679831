"""A device over ssh. Host keys are checked, keys or an agent log in; passwords are not used."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import threading
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from latency.devices.archive import server_archive
from latency.devices.transport import FOLDER, Stream, ended
from space.common.errors import DroppedError

CONNECT_S = 20.0
KEEPALIVE_S = 15.0  # after three without an answer the connection counts as lost
GOODBYE_S = 5.0
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
            "password_auth": False, "kbdint_auth": False, "connect_timeout": CONNECT_S,
            "login_timeout": CONNECT_S, "keepalive_interval": KEEPALIVE_S,
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
            self._connection = await ssh.connect(self._host, **self._options)
            path = await self._push()
            command = f"{self._python} {shlex.quote(path)} {FOLDER}"
            process = await self._connection.create_process(command, encoding=None)
        except ssh.HostKeyNotVerifiable:
            raise OSError(await self._host_key_advice()) from None
        except ssh.PermissionDenied:
            raise OSError(
                f"{self.where} took none of this user's keys: add one there (ssh-copy-id) or to "
                "the agent (ssh-add); passwords are not used"
            ) from None
        except (ssh.KeyImportError, ssh.ConfigParseError) as error:
            raise OSError(f"{self.where}: {error}") from None
        except ssh.SFTPError as error:
            full = " (is it full?)" if error.code in (ssh.FX_FAILURE, FX_NO_SPACE) else ""
            raise OSError(
                f"{self.where}: the worker cannot be written to {FOLDER}{full}: {error.reason}"
            ) from None
        except (TimeoutError, OSError, ssh.Error) as error:
            reason = getattr(error, "strerror", None) or getattr(error, "reason", "") or error
            text = f"{self.where} cannot be reached: {reason or 'no answer'}"
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

    async def _host_key_advice(self) -> str:
        """What to do about a host key that is unknown, or that has changed."""
        ssh = self._ssh
        options = ssh.SSHClientConnectionOptions(host=self._host, **self._options)
        known = False
        with contextlib.suppress(OSError, ValueError, AttributeError):
            for path in options.known_hosts or [Path.home() / ".ssh" / "known_hosts"]:
                matched = ssh.read_known_hosts(str(path)).match(options.host, "", options.port)
                known = known or bool(matched[0])
        if known:
            return (
                f"{self.where} has another host key than known_hosts says: someone may be "
                "listening in, or it was set up anew; if so, ssh-keygen -R it and ssh there once"
            )
        return (
            f"the host key of {self.where} is not in known_hosts: ssh there once, compare the key "
            "it shows with the device's own, and accept it"
        )

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
        self._last_errors: deque[bytes] = deque(maxlen=20)
        self._errors = asyncio.create_task(self._collect_errors())

    async def _collect_errors(self) -> None:
        with contextlib.suppress(Exception):
            while line := await self._process.stderr.readline():
                self._last_errors.append(line)

    def write(self, data: bytes) -> None:
        self._loop.run(self._write(data))

    async def _write(self, data: bytes) -> None:
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except (OSError, self._transport._ssh.Error) as error:
            raise DroppedError(f"{self._where} was lost ({error})") from None

    def readline(self, timeout_s: float) -> bytes:
        return self._loop.run(self._readline(timeout_s))

    async def _readline(self, timeout_s: float) -> bytes:
        process = self._process
        try:
            line: bytes = await asyncio.wait_for(process.stdout.readline(), timeout_s)
        except TimeoutError:
            raise DroppedError(f"{self._where} was silent for {timeout_s:.0f} s") from None
        except (OSError, self._transport._ssh.Error) as error:
            raise DroppedError(f"{self._where} was lost ({error})") from None
        if line.endswith(b"\n"):
            return line
        with contextlib.suppress(Exception):
            await asyncio.wait_for(process.wait_closed(), GOODBYE_S)
            await asyncio.wait_for(self._errors, GOODBYE_S)
        status = process.exit_status
        if process.exit_signal is not None:
            number = process.exit_signal[0]
            raise OSError(f"{self._where}: the worker ended with signal {number}")
        if status is None:
            raise DroppedError(f"{self._where} was lost")
        if status == 127:
            raise OSError(f"{self._where} has no {self._transport._python}: install Python 3.9+")
        raise OSError(ended(self._where, status, b"".join(self._last_errors)))

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._loop.run(self._close())

    async def _close(self) -> None:
        with contextlib.suppress(Exception):
            self._process.stdin.write_eof()
            await asyncio.wait_for(self._process.wait_closed(), GOODBYE_S)
        self._errors.cancel()
        self._process.close()
