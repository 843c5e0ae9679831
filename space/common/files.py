"""Files: replaced completely or not at all, one process at a time at a path."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MARK = ".part"
"""A temporary file is called .NAME.RANDOM.part, and its suffix."""

_swept: set[Path] = set()


def cache_dir() -> Path:
    """`$G4NAS_CACHE`, or `~/.cache/g4nas`."""
    return Path(os.environ.get("G4NAS_CACHE") or Path.home() / ".cache" / "g4nas")


def check_regular(path: Path) -> None:
    """Refuse what is not a file, before anything waits for it.

    Raises:
        ValueError: `path` is a folder, a pipe, a socket or a device.
        FileNotFoundError: it does not exist.
        OSError: it cannot be reached.
    """
    if kind := _other_kind(path.stat().st_mode):
        raise ValueError(f"{path}: must be a file; it is {kind}")


def read_text(path: Path, *, most_bytes: int = 1_000_000_000) -> str:
    """The text of a file, UTF-8 with or without a byte-order mark, line ends as they are.

    Raises:
        ValueError: not a regular file, not UTF-8, or larger than `most_bytes`; one line that
            begins with the file.
        OSError: it cannot be read.
    """
    check_regular(path)
    if (size := path.stat().st_size) > most_bytes:
        raise ValueError(f"{path}: must be a file of at most {most_bytes} bytes; got {size}")
    try:
        return path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8 text") from None


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, with its suffix; once the block has written it, sync it
    and rename it to `path`. A reader never sees half of it, and an error leaves the old file. The
    file has the permissions of any new file (umask). What a killed process left is removed.

    Raises:
        ValueError: `path` is a folder, a pipe or a device.
        OSError: about `path`, never about the temporary file.
    """
    temporary, handle = None, -1
    try:
        with suppress(FileNotFoundError):
            check_regular(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        temporary, handle = _create(path)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise type(error)(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        if handle >= 0:
            os.close(handle)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace the content of `path`, completely or not at all.

    Raises:
        ValueError: `path` is a folder, a pipe or a device.
        OSError: about `path`.
    """
    with replace_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes left in `folder`, once a process. A file
    that a running process writes is locked and stays."""
    if folder in _swept:
        return
    _swept.add(folder)
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name.startswith(".") and MARK in path.suffixes[-2:]:
                with suppress(OSError):
                    handle = os.open(path, os.O_RDWR)
                    try:
                        if _lock(handle, wait=False):
                            path.unlink()
                    finally:
                        os.close(handle)


def make_folder(folder: Path) -> Path:
    """Make `folder` if it is missing, and remove what killed processes left in it.

    Raises:
        ValueError: the path, or one above it, is a file; the message names --out.
        OSError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"--out must be a folder, or a new one; got {folder}") from None
    remove_leftovers(folder)
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
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a folder, or a file that need not exist yet; the system lets go of it when the process
    ends, however it ends. The lock is `path`/.lock, which stays, or .NAME.lock beside a file,
    which the end of the block removes.

    Raises:
        ValueError: another process holds it; `what` names that process in the message.
        OSError: the lock cannot be opened.
    """
    folder = path.is_dir()
    lock = path / ".lock" if folder else path.with_name(f".{path.name}.lock")
    while True:
        with lock.open("a") as file:
            if not _lock(file.fileno(), wait=False):
                raise ValueError(
                    f"another {what} is running in {path}: wait for it, or choose another --out"
                )
            if not _is_at(lock, file.fileno()):
                continue  # its holder has just removed it
            try:
                yield
            finally:
                if not folder:
                    lock.unlink(missing_ok=True)
            return


def _create(path: Path) -> tuple[Path, int]:
    """A new, locked file beside `path`, and its handle."""
    while True:
        name = f".{path.stem[:100]}.{secrets.token_hex(4)}{MARK}{path.suffix}"
        temporary = path.with_name(name)
        # Not mkstemp, which ignores the umask: a file of mode 600 is of no use to a group.
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        _lock(handle, wait=True)
        # Another process may have swept it away before it was locked.
        if _is_at(temporary, handle):
            return temporary, handle
        os.close(handle)


def _is_at(path: Path, handle: int) -> bool:
    """Whether an open file is still the one at `path`."""
    with suppress(FileNotFoundError):
        return path.stat().st_ino == os.fstat(handle).st_ino
    return False


def _lock(handle: int, *, wait: bool) -> bool:
    """Lock an open file for this process; False if another process has it."""
    try:
        import fcntl
    except ModuleNotFoundError:  # no such locks on this system
        return wait
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Put a rename on disk; some systems and file systems have no such call."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _other_kind(mode: int) -> str:
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((name for is_kind, name in kinds if is_kind(mode)), "")
