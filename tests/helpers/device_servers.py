"""Devices on this machine: an ssh server in this process, and a real sshd, with their own keys."""

from __future__ import annotations

import asyncio
import os
import platform
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncssh

from latency.devices import apt
from latency.devices.ssh import Loop

USER = "tester"


class Keys:
    """A client's home folder with its own ~/.ssh, and the key of a host.

    `trust` writes known_hosts. Set $HOME to `home` before a client is made.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "client"
        self.ssh = self.home / ".ssh"
        self.ssh.mkdir(parents=True, mode=0o700)
        self.user = asyncssh.generate_private_key("ssh-ed25519")
        self.user.write_private_key(self.ssh / "id_ed25519")
        self.host = asyncssh.generate_private_key("ssh-ed25519")
        self.other = asyncssh.generate_private_key("ssh-ed25519")

    def trust(self, port: int, key: Any = None) -> None:
        public = (key or self.host).export_public_key().decode()
        (self.ssh / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")


class SshServer:
    """asyncssh's server in a thread; commands run in `away`, a device's home folder."""

    def __init__(self, folder: Path) -> None:
        self.keys, self.away = Keys(folder), folder / "device"
        self.away.mkdir()
        self.commands: list[str] = []
        self.connections: list[Any] = []
        self.processes: list[Any] = []
        self.loop = Loop()
        self._server = self.loop.run(self._listen(0))
        self.port = self._server.get_port()
        self.address = f"{USER}@127.0.0.1:{self.port}"
        self.keys.trust(self.port)

    async def _listen(self, port: int) -> Any:
        server = self

        class Login(asyncssh.SSHServer):
            def connection_made(self, connection: Any) -> None:
                server.connections.append(connection)

            def connection_requested(self, *_: Any) -> bool:
                return True  # it may be a jump host

        public = self.keys.user.export_public_key().decode()
        return await asyncssh.listen(
            "127.0.0.1",
            port,
            server_factory=Login,
            server_host_keys=[self.keys.host],
            authorized_client_keys=asyncssh.import_authorized_keys(public),
            process_factory=self._run,
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(self.away)),
            encoding=None,
        )

    async def _run(self, process: Any) -> None:
        self.commands.append(process.command)
        child = await asyncio.create_subprocess_shell(
            process.command, cwd=self.away, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        self.processes.append(child)

        async def ask() -> None:
            with suppress(OSError, asyncssh.Error):
                while data := await process.stdin.read(2**16):
                    child.stdin.write(data)
                    await child.stdin.drain()
            child.stdin.close()  # as sshd does when its client is gone

        async def answer(source: Any, target: Any) -> None:
            with suppress(OSError, asyncssh.Error):
                while data := await source.read(2**16):
                    target.write(data)
                    await target.drain()

        asking = asyncio.create_task(ask())
        await asyncio.gather(
            answer(child.stdout, process.stdout), answer(child.stderr, process.stderr)
        )
        process.exit(await child.wait())
        asking.cancel()

    def cut(self) -> None:
        """Every connection is gone, without a goodbye."""

        async def abort() -> None:
            for connection in self.connections:
                connection.abort()
            self.connections.clear()

        self.loop.run(abort())

    def stop(self) -> None:
        """No more connections, and the ones there are end."""

        async def shut() -> None:
            self._server.close()
            await self._server.wait_closed()

        self.cut()
        self.loop.run(shut())

    def again(self) -> None:
        """Listen on the same port as before."""
        self._server = self.loop.run(self._listen(self.port))

    def close(self) -> None:
        with suppress(Exception):
            self.stop()

        async def ended() -> None:
            for child in self.processes:
                try:
                    await asyncio.wait_for(child.wait(), 2)
                except TimeoutError:  # of a test whose program does not end with its client
                    child.kill()  # its pipes may be full, so no wait for their end

        self.loop.run(ended())
        self.loop.close()


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    server = SshServer(folder)
    try:
        yield server
    finally:
        server.close()


def sshd_files(cache: Path) -> tuple[Path, Path]:
    """(sshd, folder of libraries) from Debian packages, unpacked into `cache` once.

    libnss-wrapper gives sshd a user of its own without touching this system's.

    Raises:
        OSError: apt-get or the network is missing.
    """
    root = cache / "sshd"
    if not (root / "usr" / "sbin" / "sshd").exists():
        with apt.Apt(apt.host_architecture()) as packages:
            new = Path(tempfile.mkdtemp(dir=cache))
            names = {"openssh-server", "libnss-wrapper"}
            first = {n for n in packages.depends("openssh-server") if n.startswith("lib")}
            second = {d for n in first for d in packages.depends(n) if d.startswith("lib")}
            names |= {
                n for n in first | second if not n.startswith(("libc6", "libgcc", "libpam-"))
            }
            packages.unpack(sorted(names), new, with_dependencies=False)
            new.replace(root)
    return root / "usr" / "sbin" / "sshd", next((root / "usr" / "lib").glob("*-linux-gnu"))


class Sshd:
    """OpenSSH's server on loopback, with its own keys, configuration and user."""

    def __init__(self, folder: Path, cache: Path) -> None:
        program, libraries = sshd_files(cache)
        self.keys, self.away = Keys(folder), folder / "device"
        self.away.mkdir()
        (folder / "host_key").touch(mode=0o600)
        self.keys.host.write_private_key(folder / "host_key")
        self.keys.user.write_public_key(folder / "authorized")
        me = pwd.getpwuid(os.getuid())
        (folder / "passwd").write_text(
            f"{USER}:x:{me.pw_uid}:{me.pw_gid}::{self.away}:/bin/sh\n"
            "sshd:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
        )
        (folder / "group").write_text(f"{USER}:x:{me.pw_gid}:\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\n"
            f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\nPidFile none\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
            f"SetEnv PATH={path}\n"
        )
        # Compiled into Debian's sshd, which wants it when root starts it.
        privileges = Path("/run/sshd")
        self._made = os.getuid() == 0 and not privileges.exists()
        if self._made:
            privileges.mkdir(mode=0o755)
        env = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LD_LIBRARY_PATH": str(libraries),
            "LD_PRELOAD": str(libraries / "libnss_wrapper.so"),
            "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
            "NSS_WRAPPER_GROUP": str(folder / "group"),
        }
        self._log = (folder / "log").open("wb")
        command = [str(program.resolve()), "-D", "-e", "-f", str(folder / "sshd_config")]
        self._process = subprocess.Popen(command, env=env, stderr=self._log)
        self.address = f"{USER}@127.0.0.1:{self.port}"
        self.keys.trust(self.port)
        for _ in range(100):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        self.close()
        raise OSError(f"sshd does not start: {(folder / 'log').read_text()[-300:]}")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()
        if self._made:
            with suppress(OSError):
                Path("/run/sshd").rmdir()


@contextmanager
def sshd(folder: Path, cache: Path) -> Iterator[Sshd]:
    if platform.system() != "Linux" or shutil.which("dpkg") is None:
        raise OSError("needs Debian's packages")
    server = Sshd(folder, cache)
    try:
        yield server
    finally:
        server.close()
