"""Starts and ends the server: its folders, its lock, and its exit."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import queue
import select
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from latency.ondevice import host
from latency.ondevice.server import Server

SILENCE_S = 60.0
MAX_LINE = 2**20
MAX_FRAME = 2**31


def main(folder_name: str) -> None:
    """Serve a client on stdin and stdout until it sends `end` or is gone."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # engines print: that goes to stderr
    folder = Path(folder_name).expanduser()
    temporary = ""

    def leave(*_: Any) -> NoReturn:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
        os._exit(0)

    def send(values: dict[str, Any]) -> None:
        try:
            answers.write(json.dumps(values).encode() + b"\n")
            answers.flush()
        except OSError:  # the client is gone
            leave()

    for name in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(name, leave)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        locked = lock(folder / "lock")
        if locked is not None:
            sweep(folder)
            temporary = tempfile.mkdtemp(dir=folder, prefix="run-")
    except OSError as error:
        kind = "full" if error.errno == errno.ENOSPC else "folder"
        send({"error": f"{folder}: {error.strerror}", "kind": kind})
        return
    if locked is None:
        send({"error": "another measurement is running on this device", "kind": "busy"})
        leave()
    # Also for files that an engine writes (onnxruntime: an identifier of this device).
    os.environ.update(dict.fromkeys(("TMPDIR", "HOME", "XDG_CACHE_HOME"), temporary))
    tempfile.tempdir = temporary
    reader = Reader(0, leave, float(os.environ.get("G4NAS_SILENCE_S", SILENCE_S)))
    reader.start()
    server = Server(folder, send)
    send(server.hello())
    while True:
        message = reader.messages.get()
        if message.get("do") == "end":
            leave()
        server.handle(message)
        if message.get("last"):
            leave()


class Reader(threading.Thread):
    """Puts messages from a file descriptor into `messages`; calls `leave` at the end of the file.

    A message with `last` is the last one: the start of a next one is unknown.
    """

    def __init__(self, source: int, leave: Callable[[], None], silence_s: float) -> None:
        super().__init__(daemon=True)
        self.messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self._source, self._leave, self._silence_s = source, leave, silence_s
        self._buffer = bytearray()

    def run(self) -> None:
        try:
            self._read()
        except BaseException:  # nothing watches the client any more
            self._leave()
            raise

    def _read(self) -> None:
        message: dict[str, Any] = {}
        while not message.get("last"):
            message = self._message()
            self.messages.put(message)

    def _message(self) -> dict[str, Any]:
        line = b""
        while not line.strip():
            while b"\n" not in self._buffer:
                if len(self._buffer) > MAX_LINE:
                    return {"problem": f"a line of over {MAX_LINE} bytes", "last": True}
                self._fill()
            line = self._take(self._buffer.index(b"\n") + 1)
        message = _parse(line)
        size = message.pop("bytes", None)
        if size is not None:
            most = min(MAX_FRAME, (host.available_bytes() or MAX_FRAME) // 2)
            if type(size) is not int or not 0 <= size <= most:
                return {"problem": f"`bytes` must be 0 to {most}", "last": True}
            while len(self._buffer) < size:
                self._fill()
            message["data"] = self._take(size)
        return message

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _fill(self) -> None:
        ready, _, _ = select.select([self._source], [], [], self._silence_s)
        try:
            data = os.read(self._source, 2**20) if ready else b""
        except OSError:  # a socket that was reset
            data = b""
        if not data:
            self._leave()
        self._buffer += data


def _parse(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {"problem": f"not JSON: {error}"}
    if not isinstance(message, dict) or message.keys() & {"problem", "last", "data"}:
        return {"problem": "a message must be an object with `do`"}
    return message


def lock(path: Path) -> Any:
    """The open file that holds the lock; None if another process holds it."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def sweep(folder: Path) -> None:
    """Remove what a killed server left, and servers of other versions. Needs the lock."""
    for path in (*folder.glob("run-*"), *folder.glob("wheels/.new-*")):
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob("g4nas-worker-*.pyz"):
        if path.name != Path(sys.argv[0]).name:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1])
