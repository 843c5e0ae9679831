"""Samplers on tables of trained networks: ranks by a slow loop, journal, bad tables."""

from __future__ import annotations

import itertools
import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from optuna.distributions import CategoricalDistribution, IntDistribution

from search.benchmark import main
from search.experiments.tabular import JOURNAL, PICTURE, RESULT, best_so_far, recorded_runs
from search.experiments.tabular_runs import SAMPLERS, run_sampler
from search.experiments.tabular_table import TrainedTable, read_trained_table
from space.common.jsonl import JsonLines
from tests.helpers.hostile import examples, mutated_csv, mutated_json

WORDS = "--genes w,k,op --value acc --cost flops --limit median".split()


def lines() -> list[str]:
    found = []
    for w, k, op in itertools.product((8, 16, 24, 32), (3, 5, 11), ("conv", "pool", "skip")):
        acc = 60 + 8 * np.log(w) + k / 2 + {"conv": 2, "pool": 0, "skip": -4}[op]
        found.append(f"{w},{k},{op},{acc:.4f},{w * w * k}")
    return found


def write(path: Path, rows: list[str] | None = None, header: str = "w,k,op,acc,flops") -> Path:
    path.write_text("\n".join([header, *(lines() if rows is None else rows)]) + "\n")
    return path


def read(path: Path, **options: Any) -> TrainedTable:
    given: dict[str, Any] = {
        "genes": ("w", "k", "op"),
        "value": "acc",
        "cost": "flops",
        "limit": "median",
        "minimise": False,
    }
    return read_trained_table(path, **(given | options))


def test_a_table_as_a_space(tmp_path: Path) -> None:
    """Numbers in even steps stay numbers, 3, 5, 11 are places, and words are categories."""
    table = read(write(tmp_path / "t.csv"))
    assert table.space == {
        "w": IntDistribution(8, 32, step=8),
        "k": IntDistribution(0, 2),
        "op": CategoricalDistribution(["conv", "pool", "skip"]),
    }
    assert table.complete and len(table.rows) == 36
    by_hand = sorted(w * w * k for w in (8, 16, 24, 32) for k in (3, 5, 11) for _ in range(3))
    assert table.limit == (by_hand[17] + by_hand[18]) / 2
    params = {"w": 24, "k": 1, "op": "pool"}
    place = table.nearest(params)
    assert table.value[place] == pytest.approx(60 + 8 * np.log(24) + 2.5, abs=1e-4)


def test_the_nearest_network_of_a_part(tmp_path: Path) -> None:
    """Two steps of three in w are nearer than another category."""
    table = read(write(tmp_path / "t.csv", ["8,3,conv,1,1", "32,11,conv,2,1", "8,3,pool,3,1",
        *[f"8,5,conv,{i},1" for i in range(9)]]))  # fmt: skip
    assert not table.complete
    assert table.value[table.nearest({"w": 8, "k": 0, "op": "pool"})] == 3
    assert table.value[table.nearest({"w": 32, "k": 2, "op": "pool"})] == 2


def test_repeats_are_averaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = read(write(tmp_path / "t.csv", [*lines(), "8,3,conv,0,1000"]))
    assert len(table.rows) == 36
    place = table.nearest({"w": 8, "k": 0, "op": "conv"})
    assert table.value[place] == pytest.approx((60 + 8 * np.log(8) + 1.5 + 2) / 2, abs=1e-4)
    assert table.cost is not None and table.cost[place] == (8 * 8 * 3 + 1000) / 2
    assert "1 lines repeat the genes of another" in capsys.readouterr().err


@pytest.mark.parametrize("limit", [None, "median", "3000"])
@pytest.mark.parametrize("minimise", [True, False])
def test_ranks_and_regrets_by_a_slow_loop(
    limit: str | None, minimise: bool, tmp_path: Path
) -> None:
    table = read(write(tmp_path / "t.csv"), limit=limit, minimise=minimise)
    feasible = [
        (float(line.split(",")[3]), int(line.split(",")[4]))
        for line in lines()
        if limit is None or int(line.split(",")[4]) <= (table.limit or 0)
    ]
    values = sorted((value for value, _ in feasible), reverse=not minimise)
    rng = np.random.default_rng(0)
    places = rng.permutation(np.flatnonzero(table.feasible))[:6].tolist()
    ranks, regrets = best_so_far(table, places, 9)
    sign = -1 if minimise else 1
    for n in range(9):
        found = [sign * table.value[place] for place in places[: n + 1]]
        best = min(found) if minimise else max(found)
        assert ranks[n] == 1 + sum(v < best if minimise else v > best for v in values)
        assert regrets[n] == pytest.approx(abs(values[0] - best))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_run_evaluates_each_feasible_network_once(name: str, tmp_path: Path) -> None:
    """It ends at the best one; the number of evaluations is a limit."""
    table = read(write(tmp_path / "t.csv"))
    found, seconds = run_sampler(name, table, 12, 0)
    assert 1 <= len(found) <= 12 and seconds > 0
    assert len(set(found)) == len(found)
    assert table.feasible[found].all()
    best = table.value[table.feasible].max()
    assert (table.value[found[:-1]] < best).all()
    assert len(found) == 12 or table.value[found[-1]] == best
    assert run_sampler(name, table, 12, 0)[0] == found


def test_no_cost(tmp_path: Path) -> None:
    table = read(write(tmp_path / "t.csv"), cost=None, limit=None)
    found, _ = run_sampler("G4Sampler", table, 36, 0)
    assert table.value[found[-1]] == table.value.max()


@pytest.mark.slow
def test_the_command_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv.xz"
    path.write_bytes(lzma.compress(write(tmp_path / "t.csv").read_bytes()))
    out = tmp_path / "out"
    words = ["tabular", str(path), *WORDS, "--evaluations", "12", "--gp-seeds", "1"]
    assert main([*words, "--seeds", "2", "--workers", "2", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    for name in ("G4Sampler", "regularised", "rank: t.csv.xz", "@12", "regret"):
        assert name in text
    first = (out / JOURNAL).read_text().splitlines()
    assert len(first) == 1 + 1 + 2 * 5
    assert (out / PICTURE).read_bytes()[:4] == b"\x89PNG"
    # A killed process leaves half a line; what is missing runs again, and a seed more.
    (out / JOURNAL).write_text("\n".join(first[:-1]) + "\n" + first[-1][:9])
    again = [*words, "--seeds", "3", "--workers", "0", "--out", str(out), "--format", "json"]
    assert main(again) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((out / RESULT).read_text())
    second = (out / JOURNAL).read_text().splitlines()
    assert second[: len(first) - 1] == first[:-1] and len(second) == 1 + 1 + 3 * 5
    # Processes give the same networks as this one alone.
    assert main([*words, "--seeds", "3", "--workers", "0", "--format", "json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    for here, there in zip(found["samplers"], alone["samplers"], strict=True):
        assert (here["at"], here["regret"]) == (there["at"], there["regret"])
        assert here["seeds"] == (1 if here["sampler"] == "GP" else 3)
    # Another comparison, or a line that is none, is refused.
    assert main([*again, "--minimise"]) == 2
    assert "of another comparison (minimise); choose another --out" in capsys.readouterr().err
    for line in ('{"sampler": "x"}', second[1].replace('"networks": [', '"networks": [9999, ')):
        (out / JOURNAL).write_text("\n".join([second[0], line]) + "\n")
        assert main(again) == 2
        assert f"{JOURNAL}, line 2: not a line of a comparison" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tabular"], "tabular needs a FILE"),
        (["tabular", "FILE"], "tabular needs --genes"),
        (["tabular", "FILE", "--genes", "w"], "tabular needs --value"),
        (["tabular", "FILE", *WORDS, "--genes", "w,x"], "no column 'x'; it has"),
        (["tabular", "FILE", *WORDS, "--genes", "w,w"], "must be different columns; got 'w,w'"),
        (["tabular", "FILE", *WORDS, "--value", "top1"], "no column 'top1'"),
        (
            ["tabular", "FILE", *WORDS, "--value", "op"],
            "line 2: `op` must be a number; got 'conv'",
        ),
        (["tabular", "FILE", *WORDS, "--limit", "x"], "--limit must be a number or median; got"),
        (["tabular", "FILE", *WORDS, "--limit", "nan"], "--limit must be a number or median"),
        (["tabular", "FILE", "--genes", "w", "--value", "acc", "--limit", "1"], "give its column"),
        (["tabular", "FILE", *WORDS, "--evaluations", "0"], "--evaluations must be from 1"),
        (["tabular", "MISSING", *WORDS], "No such file"),
        (["tabular", ".", *WORDS], "must be a"),
        (["samplers", "FILE"], "a FILE is for tabular; got it for samplers"),
    ],
)
def test_wrong_usage(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "t.csv")
    named = [
        str(path) if w == "FILE" else str(tmp_path / w) if w in "MISSING." else w for w in words
    ]
    assert main(named) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*lines(), "8,3,conv,,1"], "line 38: `acc` must be a number; got 'nan'"),
        ([*lines(), "8,3,conv,inf,1"], "line 38: `acc` must be a number; got 'inf'"),
        ([*lines(), "8,3,conv,1,"], "line 38: `flops` must be a number"),
        ([*lines(), "8,,conv,1,1"], "line 38: `k` is empty"),
        ([*lines(), "8,inf,conv,1,1"], "`k` must have finite numbers"),
        ([*lines(), "8,3,conv,1,1,9,9,9"], "must be a CSV file"),
        (lines()[:9], "at least 10 networks are needed; got 9"),
        ([], "at least 10 networks are needed; got 0"),
    ],
)
def test_bad_table(
    rows: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tabular", str(write(tmp_path / "t.csv", rows)), *WORDS]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_no_feasible_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "t.csv")
    assert main(["tabular", str(path), *WORDS, "--limit", "1"]) == 1
    assert "has `flops` within 1; the least is 192" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["csv.xz", "csv.gz", "csv.bz2", "csv.zip", "csv.tar"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"PK\x03\x04xx", b"\xfd7zXZ\x00\x00"])
def test_damaged_archives(
    content: bytes, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"t.{suffix}"
    path.write_bytes(content)
    assert main(["tabular", str(path), *WORDS]) in (1, 2)
    assert capsys.readouterr().err.count("\n") == 1


TEXT = "\n".join(["w,k,op,acc,flops", *lines()]) + "\n"


def test_property_any_text_is_a_table_or_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"

    @examples(50)
    @given(mutated_csv(TEXT))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            table = read(path, limit=None)
        except ValueError as error:
            assert str(path) in str(error)
            return
        assert np.isfinite(table.value).all() and len(table.rows) >= 1

    check()


RUN = {"sampler": "TPE", "seed": 3, "networks": [0, 1, 2], "seconds": 1.5}


def test_property_any_line_is_a_run_or_one_line(tmp_path: Path) -> None:
    table, path = read(write(tmp_path / "t.csv"), limit=None), tmp_path / JOURNAL

    @examples(60)
    @given(mutated_json(json.dumps(RUN)))
    def check(line: bytes) -> None:
        path.write_bytes(b"{}\n" + line.replace(b"\n", b" ") + b"\n")
        try:
            with JsonLines(path, what="a comparison", advice="x") as journal:
                runs = recorded_runs(journal, table, 5)
        except ValueError as error:
            assert f"{JOURNAL}, line " in str(error) and "\n" not in str(error)
            return
        for (name, _), run in runs.items():
            assert name in SAMPLERS
            assert 1 <= len(set(run["networks"])) == len(run["networks"]) <= 5
            assert table.feasible[run["networks"]].all()

    check()
