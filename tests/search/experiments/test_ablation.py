from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from latency.table.op_model import OpCostModel
from search.ablation import main


@pytest.mark.slow
def test_one_row_per_guideline(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--trials", "25", "--seeds", "1", "--format", "json"]
    assert main(words) == 0
    out, _ = capsys.readouterr()
    assert "published" in out
    text = json.dumps(json.loads(out))
    assert all(name in text for name in ("g1", "g2", "g3", "g4"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trials", "0"], "--trials must be from 1 to 10000000; got 0"),
        (["--seeds", "100000"], "--seeds must be from 1 to 1000; got 100000"),
        (["--budget", "5"], "a budget must be"),
        (["--budget", "3M"], "no ShuffleNet v2 is within the budget"),
        (["--target", "x"], "unknown target 'x'"),
    ],
)
def test_wrong_usage(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_networks_are_those_of_the_table(
    arm: OpCostModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """ShuffleNet v2 0.5x, of width 48, has 41M FLOPs at 224x224, and 164M at 448x448."""
    OpCostModel(replace(arm.header, input="448x448"), arm.coefficients).save(tmp_path / "a.json")
    words = ["--budget", "146M", "--trials", "1", "--seeds", "1", "--format", "json"]
    assert main(["--target", str(tmp_path / "a.json"), *words]) == 0
    names = {row["baseline"] for row in json.loads(capsys.readouterr().out)["rows"]}
    (width,) = {int(name.removeprefix("ShuffleNet v2 width ")) for name in names}
    assert width < 48
