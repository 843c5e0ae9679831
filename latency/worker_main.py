"""Starts and ends the worker: its folders, its lock, and what stops it.

Standard library only, Python 3.9: this file is pushed to devices (latency/devices/archive.py).
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from latency.worker import SILENCE_S, Reader, Worker


def main(folder_name: str) -> None:
    """Serve a client on stdin and stdout until it says `end` or is gone."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what an engine prints is no answer
    folder = Path(folder_name).expanduser()
    temporary = ""

    def leave(*_: Any) -> NoReturn:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
        os._exit(0)

    def say(values: dict[str, Any]) -> None:
        try:
            answers.write(json.dumps(values).encode() + b"\n")
            answers.flush()
        except OSError:  # nobody listens
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
        kind = "full" if error.errno == 28 else "folder"
        say({"error": f"{folder}: {error.strerror}", "kind": kind})
        return
    if locked is None:
        say({"error": "another measurement is running on this device", "kind": "busy"})
        leave()
    tempfile.tempdir = os.environ["TMPDIR"] = temporary
    reader = Reader(0, leave, float(os.environ.get("G4NAS_SILENCE_S", SILENCE_S)))
    reader.start()
    worker = Worker(folder, say)
    say(worker.hello())
    while True:
        message = reader.messages.get()
        if message.get("do") == "end":
            leave()
        worker.handle(message)
        if message.get("last"):
            leave()


def lock(path: Path) -> Any:
    """The open file that holds it, or None: two measurements would disturb each other."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def sweep(folder: Path) -> None:
    """Remove what a killed worker left, and workers of other versions; only who holds the lock
    may."""
    for path in (*folder.glob("run-*"), *folder.glob("wheels/.new-*")):
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob("g4nas-worker-*.pyz"):
        if path.name != Path(sys.argv[0]).name:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1])
