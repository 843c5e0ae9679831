"""The main job with the estimate as its score: what is printed, stored and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluator.estimate.networks import estimate_accuracy
from search.run import main

pytestmark = pytest.mark.slow
WORDS = ["--target", "gpu", "--budget", "146M", "--trials", "30"]


def test_a_search_by_the_estimate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*WORDS, "--score", "estimate", "--estimate-recipe", "megvii", "--out", str(tmp_path)]
    assert main(words) == 0
    out, _ = capsys.readouterr()
    record = json.loads((tmp_path / "winners.json").read_text(encoding="utf-8"))
    assert record["estimate"]["recipe"] == "megvii"
    assert record["estimate"]["baseline"] == record["baseline"]["architecture"]
    for row in [*record["winners"], record["baseline"]]:
        expected = estimate_accuracy(
            row["architecture"], recipe="megvii", baseline=record["estimate"]["baseline"]
        )
        assert row["estimate"]["top1"] == pytest.approx(expected.mean, rel=1e-9)
        assert row["estimate"]["difference_sd"] == pytest.approx(expected.difference_sd, abs=1e-9)
        line = next(text for text in out.splitlines() if text.startswith(row["name"]))
        assert f"{expected.mean:.1f} +-{expected.high - expected.mean:.1f}" in line
    assert record["baseline"]["score"] == pytest.approx(record["baseline"]["estimate"]["top1"])
    assert "winners are chosen by it" in out
    assert main([*words, "--resume", "--trials", "31"]) == 0
    capsys.readouterr()
    assert main([*WORDS, "--score", "closed-form", "--out", str(tmp_path)]) == 2
    assert "Use --score estimate, or another --out" in capsys.readouterr().err
    other = [*WORDS, "--score", "estimate", "--optimism", "1", "--out", str(tmp_path)]
    assert main(other) == 2
    assert "optimism=1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--classes", "10"], "these networks are of 224x224, 3 channels, 10 classes"),
        (["--input", "160x160"], "these networks are of 160x160, 3 channels, 1000 classes"),
        (["--relax", "g3"], "the estimate knows nothing of axes that break G3"),
    ],
)
def test_networks_without_an_estimate_have_the_closed_form(
    words: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*WORDS, *words, "--score", "estimate", "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert sum(why in line for line in err.splitlines()) == 1
    assert "the closed form is the score" in err
    assert "training-free closed form" in out
    assert "(est.)" not in out
    record = json.loads((tmp_path / "winners.json").read_text(encoding="utf-8"))
    assert "estimate" not in record
    assert "estimate" not in record["baseline"]


def test_no_shufflenet_within_the_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--target", "gpu", "--budget", "20M", "--trials", "40", "--score", "estimate"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    out, _ = capsys.readouterr()
    assert "no ShuffleNet v2 is within the budget" in out
    assert "vs its baseline, the smallest ShuffleNet v2 of the paper" in out
