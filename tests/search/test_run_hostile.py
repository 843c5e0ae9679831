"""search.run and search.compare on hostile tables, budgets and folders: one line, or an answer."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.table.load import shipped_tables
from search.compare import main as compare
from search.run import main
from tests.helpers.hostile import examples, mutated_csv, mutated_json, run_hostile

ARM = shipped_tables()["arm"]
HEADER, ROWS = ARM.read_text("utf-8"), ARM.with_suffix(".csv").read_text("utf-8")
UNSIGNED = json.dumps({k: v for k, v in json.loads(HEADER).items() if k != "csv_sha256"})
FINALS = ("winners.json", "front.csv", "front.png", "winner-1.onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With one search in it, which loads torch and all else: the others are timed without that."""
    path = tmp_path_factory.mktemp("hostile")
    words = ["--target", "arm", "--budget", "146M", "--trials", "3", "--relax", "g4"]
    assert main([*words, "--input", "32x32", "--out", str(path / "first")]) == 0
    return path


def searched(folder: Path, header: bytes, rows: bytes) -> int:
    """A search of three trials on this table, and the comparison on it."""
    table, number = folder / "t.json", len(list(folder.glob("out*")))
    table.write_bytes(header)
    table.with_suffix(".csv").write_bytes(rows)
    out = folder / f"out{number}"
    words = ["--target", str(table), "--budget", "146M", "--trials", "3", "--out", str(out)]
    words += ["--input", "32x32", "--relax", "g4"]  # small models, and no bound to compute
    finals = [out / name for name in FINALS]
    status = run_hostile(main, words, name="search.run", finals=finals, folders=[folder])
    words = ["--target", str(table), "--network", "ShuffleNet v2 1.0x", "--input", "32x32"]
    other = run_hostile(compare, words, name="search.compare", folders=[folder])
    assert status != 0 or other == 0
    return status


@examples(8)
@given(mutated_json(UNSIGNED))
def test_property_headers(folder: Path, data: bytes) -> None:
    searched(folder, data, ROWS.encode())


@examples(30)
@given(mutated_csv(ROWS))
def test_property_rows(folder: Path, data: bytes) -> None:
    searched(folder, UNSIGNED.encode(), data)


NAME = st.text(st.characters(blacklist_characters="/\0"), min_size=1, max_size=60)


@examples(2)
@given(st.one_of(NAME, st.sampled_from(["$a^$ $", "[/x]", "-x", "\u202e", "n" * 240])))
def test_property_names(folder: Path, name: str) -> None:
    """A device and a folder of any name; a path that the system does not take is one line."""
    header = {**json.loads(UNSIGNED), "device": name}
    searched(folder, json.dumps(header).encode(), ROWS.encode())


@examples(40)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=12),
            st.sampled_from(["", "146", "-1M", "nanms", "1e400M", "146M,146M", "0M", "1M", "9Gs"]),
        ),
        max_size=3,
    ).filter(lambda words: words != ["1M"])
)
def test_property_budgets(folder: Path, budgets: list[str]) -> None:
    words = [f"--budget={word}" for word in budgets]
    out = folder / "budgets"
    words += ["--target", "arm", "--trials", "3", "--out", str(out)]
    finals = [out / name for name in FINALS]
    run_hostile(main, words, name="search.run", finals=finals, folders=[folder])


@pytest.mark.parametrize("kind", ["file", "pipe", "device", "below a file", "long", "read-only"])
def test_out_is_no_folder(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out"
    if kind == "file":
        path.touch()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/null")
    elif kind == "below a file":
        path.touch()
        path /= "deeper"
    elif kind == "long":
        path /= "x" * 300
    elif os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    else:
        path.mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    words = ["--target", "arm", "--budget", "146M", "--trials", "3", "--out", str(path)]
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("search.run: ")
    assert str(tmp_path) in line or "/dev/null" in line


def test_a_budget_against_another_is_no_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The least networks of the space have more FLOPs: said with how near the nearest came."""
    words = ["--target", "arm", "--budget", "1G", "--budget", "1params", "--trials", "3"]
    assert main([*words, "--out", str(tmp_path)]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("search.run: no architecture meets the budget: 3 tried, the nearest")
