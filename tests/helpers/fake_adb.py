"""An adb server with one device: this machine. After SERVICES.TXT and SYNC.TXT of adb's source.

What the device calls /data/local/tmp is a folder of the test.
"""

from __future__ import annotations

import os
import socket
import socketserver
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

SERIAL = "FAKE01"
TEMPORARY = "/data/local/tmp"


class FakeAdb:
    """Set `state` to what `adb devices` shows, None for an unplugged device; `write` may refuse
    files; `replace` is done in commands, `path` stands before the PATH of commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tmp"
        self.folder.mkdir(parents=True)
        self.state: str | None = "device"
        self.write: Callable[[str, bytes], None] = lambda path, data: None
        self.listing = b""  # the answer to `adb devices`, if it is another
        self.replace: dict[str, str] = {}
        self.path = folder / "bin"
        self.path.mkdir()
        self.commands: list[str] = []
        self.sockets: list[socket.socket] = []
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer.sockets.append(self.request)
                with suppress(OSError, EOFError):
                    outer.serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def tool(self, name: str, script: str) -> None:
        """A program of the device."""
        path = self.path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def unplug(self) -> None:
        """The device is gone, and all that ran over it."""
        self.state = None
        for each in self.sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.unplug()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(self, client: socket.socket) -> None:
        while True:
            service = _exactly(client, int(_exactly(client, 4), 16)).decode()
            if service == "host:version":
                client.sendall(b"OKAY" + _block(b"0029"))
                return
            if service == "host:devices":
                line = f"{SERIAL}\t{self.state}\n".encode() if self.state else b""
                client.sendall(self.listing or b"OKAY" + _block(line))
                return
            if service == f"host:tport:serial:{SERIAL}" and self.state == "device":
                client.sendall(b"OKAY" + struct.pack("<Q", 1))
            elif service.startswith(("shell:", "exec:")):
                client.sendall(b"OKAY")
                self._run(client, service.partition(":")[2], service.startswith("exec:"))
                return
            elif service == "sync:":
                client.sendall(b"OKAY")
                self._sync(client)
                return
            else:
                client.sendall(b"FAIL" + _block(f"device '{service}' not found".encode()))
                return

    def _local(self, text: str) -> str:
        for old, new in self.replace.items():
            text = text.replace(old, new)
        return text.replace(TEMPORARY, str(self.folder))

    def _run(self, client: socket.socket, command: str, with_input: bool) -> None:
        self.commands.append(command)
        process = subprocess.Popen(
            ["sh", "-c", self._local(command)],
            stdin=client if with_input else subprocess.DEVNULL, stdout=client, stderr=client,
            env={**os.environ, "PATH": f"{self.path}:{os.environ['PATH']}"},
        )  # fmt: skip
        process.wait()
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _sync(self, client: socket.socket) -> None:
        command, size = struct.unpack("<4sI", _exactly(client, 8))
        path = _exactly(client, size).decode()
        if command == b"STAT":
            local = Path(self._local(path))
            found = local.stat() if local.exists() else None
            values = (found.st_mode, found.st_size, int(found.st_mtime)) if found else (0, 0, 0)
            client.sendall(b"STAT" + struct.pack("<III", *values))
        elif command == b"SEND":
            data = bytearray()
            while True:
                kind, size = struct.unpack("<4sI", _exactly(client, 8))
                if kind == b"DONE":
                    break
                data += _exactly(client, size)
            name = path.rpartition(",")[0]
            try:
                self.write(name, data)
                Path(self._local(name)).write_bytes(data)
                client.sendall(b"OKAY" + bytes(4))
            except OSError as error:
                text = str(error.strerror).encode()
                client.sendall(b"FAIL" + struct.pack("<I", len(text)) + text)


def _exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = client.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _block(data: bytes) -> bytes:
    return f"{len(data):04x}".encode() + data


@contextmanager
def fake_adb(folder: Path, monkeypatch: Any) -> Iterator[FakeAdb]:
    server = FakeAdb(folder)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
    try:
        yield server
    finally:
        server.close()
