"""Journals of JSON lines: whole lines only, and a damaged one is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from space.common.jsonl import JsonLines


def opened(path: Path) -> JsonLines:
    return JsonLines(path, what="a journal", advice="delete it")


def test_rows_are_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.jsonl"
    with opened(path) as file:
        assert file.rows == []
        file.append({"a": 1})
        assert path.read_bytes() == b'{"a": 1}\n', "a row is on disk when `append` returns"
        file.append({"b": [2]})
    with opened(path) as file:
        assert file.rows == [{"a": 1}, {"b": [2]}]


def test_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n{"b"')
    with opened(path) as file:
        assert file.rows == [{"a": 1}]
        file.append({"c": 3})
    assert path.read_bytes() == b'{"a": 1}\n{"c": 3}\n'


@pytest.mark.parametrize("line", [b'{"b"', b"[1]", b"\xff"])
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b"\n")
    with pytest.raises(ValueError, match=r"rows\.jsonl, line 2: not a line of a journal"):
        opened(path)


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "rows.jsonl"
    with opened(path) as file:
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match=r"No space left on device: '.*rows\.jsonl'"):
            file.append({})
