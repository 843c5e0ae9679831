"""Files: replaced completely or not at all, one process at a time in a folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_dir() -> Path:
    """`$G4NAS_CACHE`, or `~/.cache/g4nas`."""
    return Path(os.environ.get("G4NAS_CACHE") or Path.home() / ".cache" / "g4nas")


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, with its suffix; once the block has written it, sync it
    and rename it to `path`. A reader never sees half of it, and an error leaves the old file.

    Raises:
        OSError: about `path`, never about the temporary file.
    """
    name = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException as error:
        if name:
            Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise type(error)(error.errno, error.strerror, str(path)) from None
        raise


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace the content of `path`, completely or not at all.

    Raises:
        OSError: about `path`.
    """
    with replace_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def make_folder(folder: Path) -> Path:
    """Make `folder` if it is missing.

    Raises:
        ValueError: the path, or one above it, is a file; the message names --out.
        OSError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"--out must be a folder, or a new one; got {folder}") from None
    return folder


def writable_folder(folder: Path) -> Path:
    """`make_folder`, and an OSError about it now, before any work, if it cannot be written to."""
    make_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(folder)) from None
    return folder


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold `folder`/.lock; the system lets go of it when the process ends, however it ends.

    Raises:
        ValueError: another process holds it; `what` names that process in the message.
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
