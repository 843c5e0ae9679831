"""Journals of JSON lines: whole lines only, and a damaged one is named."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given

from space.common.jsonl import JsonLines
from space.common.schema import Integer, Record
from tests.helpers.hostile import examples, mutated_text


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


def test_what_a_full_disk_cut_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next line must not follow half of this one, nor a close write it after all."""
    path = tmp_path / "rows.jsonl"
    with opened(path) as file:
        file.append({"a": 1})
        with monkeypatch.context() as patch:

            def fail(_: int) -> None:
                raise OSError(28, "No space left on device")

            patch.setattr(os, "fsync", fail)
            with pytest.raises(OSError, match="No space left"):
                file.append({"b": 2})
        assert path.read_bytes() == b'{"a": 1}\n'
        file.append({"c": 3})
    with opened(path) as file:
        assert file.rows == [{"a": 1}, {"c": 3}]


def test_a_line_has_a_schema(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": "x"}\n')
    spec = Record({"a": Integer()})
    with pytest.raises(ValueError, match=r"line 2: not a line of j \(`a` must be an integer"):
        JsonLines(path, what="j", advice="", spec=spec)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.jsonl")
    with pytest.raises(ValueError, match="must be a file; it is a pipe"):
        opened(tmp_path / "rows.jsonl")


@examples(100)
@given(mutated_text('{"a": 1}\n{"b": [2, 3]}\n{"c": {"d": "x"}}\n'))
def test_property_a_damaged_journal(tmp_path: Path, data: bytes) -> None:
    """Opened with the lines that are complete, or refused with file and line."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    try:
        with opened(path) as file:
            assert len(file.rows) == data.count(b"\n")
            file.append({"e": 5})
    except ValueError as error:
        assert re.match(r".*rows\.jsonl, line \d+: not a line of a journal", str(error))
    else:
        with opened(path) as file:
            assert file.rows[-1] == {"e": 5}
