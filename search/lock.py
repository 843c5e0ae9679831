"""One search at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder`/.lock; the system lets go of it when the process ends, however it ends.

    Raises:
        ValueError: another process holds it.
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
                f"another search is running in {folder}: wait for it, or choose another --out"
            ) from None
        yield
