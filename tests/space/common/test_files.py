"""Files are whole or not there, folders are held by one, and versions are told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from space.common.files import cache_dir, locked, replace_file, writable_folder, write_atomic
from space.common.provenance import commit, versions


@pytest.mark.parametrize("content", ["häßlich\r\n", b"\x00\xff"])
def test_written_as_given(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "new" / "file"
    write_atomic(path, content)
    expected = content.encode("utf-8") if isinstance(content, str) else content
    assert path.read_bytes() == expected
    assert path.stat().st_mode & 0o777 == 0o644


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
