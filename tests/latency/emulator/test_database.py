"""latency.emulator.database: a damaged cache is begun anew, and anything else is one line."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.emulator import database
from latency.emulator.database import ResultStore
from tests.helpers.hostile import examples

TABLE, COLUMNS = "pairs (a TEXT, b BLOB, c REAL, PRIMARY KEY (a, b))", ("a", "b", "c")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path))
    return tmp_path / "x.sqlite"


def opened() -> ResultStore:
    return ResultStore("x", TABLE, COLUMNS)


def filled(path: Path, count: int = 50) -> None:
    made = opened()
    made.store([("m", bytes([i]), i / 2) for i in range(count)])
    made.close()


def test_what_was_stored_is_found(path: Path) -> None:
    filled(path)
    made = opened()
    assert made.find("m", b"\x03") == 1.5 and made.find("m", b"\xff") is None
    made.close()


@pytest.mark.parametrize("damage", ["text", "cut", "middle", "another", "fewer", "journal"])
def test_a_damaged_one_is_begun_anew(
    path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(path, 200)
    data = bytearray(path.read_bytes())
    if damage == "text":
        path.write_text("not a database" * 100)
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "middle":
        data[4096 + 8 : 4096 + 600] = bytes(592)
        path.write_bytes(data)
    elif damage == "journal":
        path.write_bytes(data[:50])
        Path(f"{path}-journal").write_bytes(bytes(100))
    else:
        path.unlink()
        with sqlite3.connect(path) as other:
            table = "pairs (z)" if damage == "another" else "pairs (a, b)"
            other.execute(f"CREATE TABLE {table}")
        other.close()
    made = opened()
    assert made.find("m", b"\x03") is None
    made.store([("m", b"\x03", 1.0)])
    assert made.find("m", b"\x03") == 1.0
    made.close()
    line = capsys.readouterr().err
    assert line.startswith(f"{path} is damaged (") and line.count("\n") == 1


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_not_waited_for(path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(ValueError, match=f"must be a file; it is a {kind}"):
        opened()


def test_damage_that_comes_later(path: Path) -> None:
    filled(path, 200)
    made = opened()
    path.write_bytes(path.read_bytes()[:4096])
    with pytest.raises(OSError, match=r"x\.sqlite: .*: make room there, or delete it") as caught:
        for number in range(200):
            made.store([("m", bytes(3000) + bytes([number]), 1.0)])
            made.find("m", bytes([number]))
    assert caught.value.filename is None
    made.close()


def test_a_full_disk(path: Path) -> None:
    made = opened()
    made._database.execute("PRAGMA max_page_count = 3")
    with pytest.raises(OSError, match=r"database or disk is full: make room there"):
        made.store([("m", bytes(100_000), 1.0)])
    made.close()


def test_another_process_that_writes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT_S", 0.1)
    filled(path)
    made = opened()
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OSError, match="database is locked"):
        made.find("m", b"\x03")
    with pytest.raises(OSError, match="database is locked"):
        opened()
    other.rollback()
    assert made.find("m", b"\x03") == 1.5
    other.close()
    made.close()


@pytest.mark.slow
def test_two_processes_at_once(path: Path) -> None:
    script = (
        "import sys; from latency.emulator.database import ResultStore\n"
        f"s = ResultStore('x', {TABLE!r}, {COLUMNS!r})\n"
        "for i in range(200): s.store([(sys.argv[1], bytes([i]), 1.0)])\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", script, name]) for name in "ab"]
    assert [each.wait() for each in both] == [0, 0]
    made = opened()
    assert made._database.execute("SELECT COUNT(*) FROM pairs").fetchone() == (400,)
    made.close()


@examples(25)
@given(
    at=st.sampled_from((0, 15, 16, 18, 19, 20, 28, 40, 44, 56, 100, 101, 103, 105, 4096, 4099)),
    shift=st.integers(0, 40),
    new=st.one_of(st.none(), st.binary(min_size=1, max_size=40)),
)
def test_property_any_file_is_read_or_begun_anew(
    tmp_path_factory: pytest.TempPathFactory, at: int, shift: int, new: bytes | None
) -> None:
    """Bytes of the header and of the pages' headers are others, or all that follows is lost."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("G4NAS_CACHE", str(folder))
        path = folder / "x.sqlite"
        filled(path)
        data = path.read_bytes()
        rest = b"" if new is None else new + data[at + shift + len(new) :]
        path.write_bytes(data[: at + shift] + rest)
        made = opened()
        try:
            made.find("m", b"\x03")
            made.store([("m", b"\xfe", 7.0)])
            assert made.find("m", b"\xfe") == 7.0
        except OSError as error:
            assert str(error).startswith(str(folder)) and "\n" not in str(error)
        finally:
            made.close()
