"""Journals that were damaged: refused with file and line, or read as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.builder.journal import Journal
from tests.helpers.hostile import examples, mutated_bytes, mutated_json

IDENTITY = {"device": "chip", "host": "x", "plan": "p", "seed": 0}
STATE = {"load": 0.5, "temperature": 40.0, "battery": "80 %"}
JOB = {
    "pass": 0, "job": 1, "wall_s": 2.0, "device_s": 1.5, "processor_s": 1.0, "state": STATE,
    "chains": ["stem@8x8 c_out=4"], "times": [[1e-3, 2e-3]], "reference": [[5e-3, 6e-3]],
}  # fmt: skip
SIZES = [1, 1]


def check_read(path: Path) -> None:
    """It is refused in one line with the file, or what it holds can be used."""
    try:
        with Journal(path, IDENTITY, SIZES) as journal:
            assert all(job < 2 for _, job in journal.done)
            for group in journal.done.values():
                assert np.isfinite(np.log(group.times)).all()
                assert np.isfinite(np.log(group.reference)).all()
            assert np.isfinite([journal.spent_s, journal.device_s, journal.processor_s]).all()
    except ValueError as error:
        assert str(error).startswith(str(path)), error
        assert "\n" not in str(error) and len(str(error)) < 2000


@examples(150)
@given(st.data())
def test_property_lines_of_a_journal(tmp_path: Path, data: Any) -> None:
    rows = [json.dumps(row).encode() for row in (IDENTITY, JOB, {**JOB, "job": 0})]
    index = data.draw(st.integers(0, 2))
    rows[index] = data.draw(mutated_json(rows[index].decode()))
    path = tmp_path / "j.jsonl"
    path.write_bytes(b"\n".join(rows) + b"\n")
    check_read(path)


@examples(100)
@given(st.data())
def test_property_bytes_of_a_journal(tmp_path: Path, data: Any) -> None:
    rows = b"".join(json.dumps(row).encode() + b"\n" for row in (IDENTITY, JOB))
    path = tmp_path / "j.jsonl"
    path.write_bytes(data.draw(mutated_bytes(rows)))
    check_read(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"job": 2}, "job 2 with 1 chains is none of the plan"),
        ({"times": [[1e-3], [1e-3]], "reference": [[1e-3]]}, "job 1 with 2 chains is none of"),
        ({"times": [[1e-3, 2e-3], [1e-3]]}, "must have as many rounds in every chain"),
        ({"times": [[1e-3, 0.0]]}, r"`times\[0\]\[1\]` must be a finite number from 1e-12"),
        ({"times": [["1"]]}, r"`times\[0\]\[0\]` must be a finite number"),
        ({"reference": []}, "`reference` must be a list of 1 to"),
        ({"pass": -1}, "`pass` must be an integer from 0 to 1000; got -1"),
        ({"wall_s": 10**400}, "`wall_s` must be a finite number"),
        ({"state": []}, r"`state` must be an object; got \[\]"),
        ({"state": {"load": "x"}}, "`state.load` must be a finite number; got 'x'"),
    ],
)
def test_a_job_that_is_none(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    path = tmp_path / "j.jsonl"
    rows = [IDENTITY, JOB, {**JOB, **change}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=rf"j\.jsonl, line 3: not a line of .*{says}.*--fresh"):
        Journal(path, IDENTITY, SIZES)


def test_a_journal_that_nests_deep(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    deep = "[" * 100_000 + "]" * 100_000
    path.write_text(
        json.dumps(IDENTITY) + "\n" + json.dumps({**JOB, "state": 7}).replace("7", deep) + "\n"
    )
    with pytest.raises(ValueError, match=r"j\.jsonl, line 2: .*nests too deep"):
        Journal(path, IDENTITY)


def test_a_torn_last_line_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    lines = [json.dumps(row) + "\n" for row in (IDENTITY, JOB, {**JOB, "job": 0})]
    path.write_text("".join(lines)[:-9])
    with Journal(path, IDENTITY, SIZES) as journal:
        assert list(journal.done) == [(0, 1)]
    assert path.read_text() == "".join(lines[:2])
