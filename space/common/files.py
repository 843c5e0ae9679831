"""Writing files safely, one process at a time in a folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_dir() -> Path:
    """`$G4NAS_CACHE`, or `~/.cache/g4nas`."""
    return Path(os.environ.get("G4NAS_CACHE") or Path.home() / ".cache" / "g4nas")


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a temporary file, sync it, rename it: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold `folder`/.lock; the system lets go of it when the process ends, however it ends.

    Raises:
        ValueError: another process holds it; `what` says in the message what it is.
    """
    try:
        import fcntl
    except ModuleNotFoundError:  # no such locks on this system
        yield
        return
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another {what} is running in {folder}: wait for it, or choose another --out"
            ) from None
        yield
