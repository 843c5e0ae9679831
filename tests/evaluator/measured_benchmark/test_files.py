"""The file of the measured benchmark and its header, whatever they hold, and a killed writer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator import measured, measured_report
from evaluator.measured_benchmark import plan, train
from evaluator.measured_benchmark.plan import BenchmarkConfig, PlannedNetwork, PlannedRun
from evaluator.measured_benchmark.rows import (
    SHIPPED,
    header_path,
    read_benchmark,
    read_rows,
    write_header,
    write_rows,
)
from evaluator.training.loop import Training
from tests.helpers.hostile import examples, mutated_csv, mutated_json, run_hostile
from tests.helpers.images import TINY, image_folder
from tests.helpers.measured_rows import ROW

TINY_ROW = replace(ROW, architecture=TINY)
ROWS = [replace(TINY_ROW, name=f"n{index}", accuracy=40.0 + index) for index in range(4)]
HEADER: dict[str, Any] = {
    "rows": 4,
    "planned": 4,
    "recipes": {
        name: recipe.record()
        for name, recipe in BenchmarkConfig(data="", out=Path("m.csv")).recipes().items()
    },
    "images": [40, 20, 10],
    "classes": ["a", "b"],
    "device": "cpu",
    "threads": 1,
}


def test_the_shipped_ones_are_read() -> None:
    rows, header = read_benchmark(SHIPPED)
    assert len(rows) == header["rows"] == 205


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("50.25", "150.25", "`accuracy` must be a finite number from 0 to 100; got 150.25"),
        ("50.25", "nan", "`accuracy` must be a finite number from 0 to 100; got nan"),
        ("50.25", "", "`accuracy` must be a number; got ''"),
        ("short,0", "short,zero", "`seed` must be a number; got 'zero'"),
        ("short,0", "short,1_0", "`seed` must be a number; got '1_0'"),
        ("short,0", "middle,0", "`recipe` must be one of short, long; got 'middle'"),
        ("short,0", f"short,{'9' * 5000}", "`seed` must be a number; got '999"),
        (",100,", ",-100,", "`flops` must be an integer of at least 1; got -100"),
        (",2.0,abc", ",2.0", "must be 16 fields; got 15"),
        (",2.0,abc", ",2.0,abc,1", "must be 16 fields; got 17"),
        ("a,band", f"{'a' * 200_000},band", "field larger than field limit"),
    ],
)
def test_rows_of_a_wrong_kind(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "m.csv"
    write_rows(path, [ROW])
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=r"m\.csv, line 2 is damaged: ") as caught:
        read_rows(path)
    assert message in str(caught.value)


def test_rows_that_are_there_twice(tmp_path: Path) -> None:
    """They would count twice in a mean."""
    write_rows(tmp_path / "m.csv", [ROW, replace(ROW, accuracy=70.0)])
    with pytest.raises(ValueError, match="line 3 is damaged: a, short, seed 0 is there twice"):
        read_rows(tmp_path / "m.csv")


def test_rows_that_were_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file cut at the end of a line is no smaller benchmark."""
    path = tmp_path / "m.csv"
    write_rows(path, ROWS[:3])
    write_header(path, HEADER)
    assert measured_report.main([str(path)]) == 2
    assert "has 3 rows of the 4 that its header m.json counts" in capsys.readouterr().err


def test_other_line_ends_and_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    write_rows(path, ROWS)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_rows(path) == ROWS


@pytest.mark.parametrize(
    "change, message",
    [
        ({"schema": "1"}, "`schema` must be an integer; got '1'"),
        ({"recipes": []}, "`recipes` must be an object; got []"),
        ({"recipes": {"short": {}, "long": {}}}, "`recipes.short` must be an object with epochs"),
        ({"images": ["40", 20]}, "`images[0]` must be an integer of at least 0; got '40'"),
        ({"planned": None}, "`planned` must be an integer of at least 0; got None"),
    ],
)
def test_headers_of_a_wrong_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "m.csv"
    write_rows(path, ROWS)
    write_header(path, HEADER | change)
    assert measured_report.main([str(path)]) == 2
    assert f"{header_path(path)}: {message}" in capsys.readouterr().err


def test_networks_of_another_space(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(tmp_path / "m.csv", [ROW])
    write_header(tmp_path / "m.csv", HEADER | {"rows": 1})
    assert measured_report.main([str(tmp_path / "m.csv")]) == 2
    said = capsys.readouterr().err
    assert "m.csv, 'a': an architecture must begin with 'shufflenet_v2'; got 'x'" in said


@pytest.mark.parametrize(
    "words, message",
    [
        (["--runs", "-1"], "--runs must be from 1 to 100000; got -1"),
        (["--runs", "0"], "--runs must be from 1 to 100000; got 0"),
        (["--jobs", "0"], "--jobs must be from 1 to 256; got 0"),
        (["--threads", "100000"], "--threads must be from 1 to 1024; got 100000"),
        (["--epochs", "nan"], "--epochs must be from 0.001 to 1000000; got nan"),
        (["--epochs", "0"], "--epochs must be from 0.001 to 1000000; got 0.0"),
        (["--images", "-1"], "--images must be from 2 to 1000000000; got -1"),
        (["--images", "0"], "--images must be from 2 to 1000000000; got 0"),
        (["--out", "m.json"], "--out must be a file that ends in .csv; got m.json"),
    ],
)
def test_options_out_of_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    base = ["--data", str(tmp_path), "--out", str(tmp_path / "o" / "m.csv"), "--dry-run"]
    assert measured.main([*base, *words]) == 2
    assert capsys.readouterr() == ("", f"evaluator.measured: {message}\n")
    assert not (tmp_path / "o").exists()


def test_what_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("m.csv", "h.json"):
        os.mkfifo(tmp_path / name)
    for name, found in (("m.csv", "m.csv"), ("h.csv", "h.json")):
        words = ["--data", str(tmp_path / "none"), "--out", str(tmp_path / name)]
        assert measured.main(words) == 2
        assert f"{tmp_path / found}: must be a file; it is a pipe" in capsys.readouterr().err
    words = ["--data", "none", "--out", str(tmp_path / "x.csv"), "--device", "cuda:99"]
    assert measured.main(words) == 2
    assert "--device must be one of auto, cpu" in capsys.readouterr().err


class Killed(BaseException):
    """Stands for SIGKILL: nothing handles it."""


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Two trainings of a small network."""
    entry = PlannedNetwork("one", "band 1", TINY)
    runs = [PlannedRun(entry, 0), PlannedRun(entry, 1)]
    monkeypatch.setattr(plan, "planned_runs", lambda _: iter(runs))
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path / "cache"))
    data = str(image_folder(tmp_path / "images", each=20))
    return ["--data", data, "--out", str(tmp_path / "m.csv")]


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("name", ["write_header", "write_rows"])
def test_killed_between_a_row_and_the_header(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: int
) -> None:
    """At each write of either file; the rows of a benchmark that was never killed."""
    original, calls = getattr(train, name), 0

    def killed(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Killed(name)
        original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(train, name, killed)
        if name == "write_rows" and call == 3:
            assert measured.main(words) == 0  # it is called twice
        else:
            with pytest.raises(Killed, match=name):
                measured.main(words)
    assert measured.main(words) == 0
    rows, header = read_benchmark(tmp_path / "m.csv")
    assert [row.key for row in rows] == [("one", "short", 0), ("one", "short", 1)]
    assert header["rows"] == 2
    assert not list(tmp_path.glob(".m-*.pt"))


def test_a_first_row_without_any_header(
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As earlier versions left it, with the row's checkpoint: no step is trained again."""
    path = tmp_path / "m.csv"
    with monkeypatch.context() as patch:
        patch.setattr(train.BenchmarkTrainer, "forget", lambda *_: None)
        assert measured.main([*words, "--runs", "1"]) == 0
    first = read_rows(path)
    header_path(path).unlink()
    run, steps = Training.run, []

    def counted(self: Training, **options: Any) -> Iterator[int]:
        for step in run(self, **options):
            steps.append((self.seed, step))
            yield step

    monkeypatch.setattr(Training, "run", counted)
    assert measured.main(words) == 0
    assert "has no header: its first training is repeated" in capsys.readouterr().err
    rows = read_rows(path)
    assert [(r.key, r.accuracy, r.loss) for r in rows[:1]] == [
        (r.key, r.accuracy, r.loss) for r in first
    ]
    assert {seed for seed, _ in steps} == {1}
    header_path(path).unlink()
    assert measured.main(words) == 2  # two rows whose settings nothing tells
    assert "must have its header m.json beside it" in capsys.readouterr().err
    assert len(read_rows(path)) == 2


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A valid CSV and its header."""
    path = tmp_path_factory.mktemp("valid") / "m.csv"
    write_rows(path, ROWS)
    write_header(path, HEADER)
    return path.read_text(), header_path(path).read_text()


@examples(40)
@given(data=st.data())
def test_property_files(
    data: st.DataObject, texts: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rows") / "m.csv"
    rows, header = texts
    which = data.draw(st.booleans())
    path.write_bytes(data.draw(mutated_csv(rows)) if which else rows.encode())
    changed = header.encode() if which else data.draw(mutated_json(header))
    header_path(path).write_bytes(changed)
    json_too = data.draw(st.booleans())
    words = [str(path), *(["--format", "json"] if json_too else [])]
    run_hostile(measured_report.main, words, name="evaluator.measured_report")


def test_the_valid_files_are_reported(
    texts: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.csv").write_text(texts[0], encoding="utf-8")
    (tmp_path / "m.json").write_text(texts[1], encoding="utf-8")
    assert measured_report.main([str(tmp_path / "m.csv"), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 4
