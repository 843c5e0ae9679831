"""Files are complete or absent, one process holds a path, and a file says what made it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from space.common.files import (
    cache_dir,
    check_regular,
    locked,
    read_text,
    remove_leftovers,
    replace_file,
    writable_folder,
    write_atomic,
)
from space.common.provenance import commit, versions


@pytest.mark.parametrize("content", ["häßlich\r\n", b"\x00\xff"])
def test_written_as_given(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "new" / "file"
    write_atomic(path, content)
    expected = content.encode("utf-8") if isinstance(content, str) else content
    assert path.read_bytes() == expected


def test_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_one_in_a_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from space.common.files import locked\n"
        f"with locked(Path({str(tmp_path)!r}), 'training'): print('held')"
    )

    def other() -> subprocess.CompletedProcess[str]:
        root = Path(__file__).resolve().parents[3]
        words = [sys.executable, "-c", code]
        return subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)

    with locked(tmp_path, "training"):
        assert "another training is running in" in other().stderr
    assert other().stdout == "held\n"


def test_what_made_a_file() -> None:
    found = versions("numpy", "no-such-package")
    assert found["numpy"] == np.__version__
    assert found["no-such-package"] == "not installed"
    assert found["python"] == sys.version.split()[0]
    assert commit() == commit()


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.setenv("G4NAS_CACHE", "")
    assert cache_dir() == Path.home() / ".cache" / "g4nas"


@pytest.mark.parametrize("make", [lambda path: write_atomic(path, ""), writable_folder])
def test_an_error_names_what_the_user_named(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    """Not the temporary file."""
    (tmp_path / "file").touch()
    with pytest.raises((OSError, ValueError), match=r"file/new'?$") as raised:
        make(tmp_path / "file" / "new")
    assert getattr(raised.value, "filename", None) in (None, str(tmp_path / "file" / "new"))


def test_a_picture_keeps_its_suffix_while_written(tmp_path: Path) -> None:
    with replace_file(tmp_path / "a.png") as temporary:
        temporary.write_bytes(b"1")
        assert temporary.suffix == ".png"
        assert not (tmp_path / "a.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_the_umask_is_respected(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_atomic(tmp_path / "file", "")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode


KILLED = """
import os, signal, sys
from pathlib import Path
from space.common.files import replace_file
with replace_file(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    print("half", flush=True)
    if len(sys.argv) > 2:
        sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "a.json"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=root, capture_output=True)
    (left,) = tmp_path.iterdir()
    assert left.read_bytes() == b"half"
    write_atomic(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_what_a_running_process_writes_stays(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "a.json"
    words = [sys.executable, "-c", KILLED, str(path), "wait"]
    with subprocess.Popen(words, cwd=root, stdin=-1, stdout=-1) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"half\n"
        remove_leftovers(tmp_path)
        (temporary,) = tmp_path.iterdir()
        assert temporary.read_bytes() == b"half"
        other.kill()


def test_hidden_files_of_the_user_stay(tmp_path: Path) -> None:
    names = [".lock", ".a.partial.json", ".part", "a.part", ".profile"]
    for name in names:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def _pipe(path: Path) -> str:
    os.mkfifo(path)
    return "a pipe"


def _folder(path: Path) -> str:
    path.mkdir()
    return "a folder"


def _socket(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    return "a socket"


def _device(path: Path) -> str:
    path.symlink_to("/dev/zero")
    return "a device"


@pytest.mark.parametrize("make", [_pipe, _folder, _socket, _device])
@pytest.mark.parametrize("use", [read_text, lambda path: write_atomic(path, "x"), check_regular])
def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], str], use: Callable[[Path], object]
) -> None:
    """A pipe would be waited for, /dev/zero read for ever, /dev/null replaced by a file."""
    path = tmp_path / "x"
    kind = make(path)
    with pytest.raises(ValueError, match=rf"/x: must be a file; it is {kind}$"):
        use(path)
    assert list(tmp_path.iterdir()) == [path]


def test_text_may_begin_with_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"\xef\xbb\xbfa\r\n\xc3\xa4")
    assert read_text(path) == "a\r\nä"


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"ab\xff", "byte 2 is not UTF-8"), (b"x" * 11, "at most 10 bytes; got 11")],
)
def test_text_that_cannot_be_read(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ValueError, match=f"/x: .*{message}"):
        read_text(tmp_path / "x", most_bytes=10)
