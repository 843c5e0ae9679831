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
    words = [*WORDS, "--estimate-recipe", "megvii", "--out", str(tmp_path)]
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
    other = [*WORDS, "--optimism", "1", "--out", str(tmp_path)]
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
@pytest.mark.parametrize("asked", [[], ["--score", "estimate"]], ids=["default", "asked"])
def test_networks_without_an_estimate_have_the_closed_form(
    asked: list[str],
    words: list[str],
    why: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*WORDS, *words, *asked, "--out", str(tmp_path)]) == 0
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
    words = ["--target", "gpu", "--budget", "20M", "--trials", "40"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    out, _ = capsys.readouterr()
    assert "no ShuffleNet v2 is within the budget" in out
    assert "vs its baseline, the smallest ShuffleNet v2 of the paper" in out


def test_a_study_of_the_closed_form_under_the_default_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an earlier version left it: one line that says what to do, and nothing is changed. Both
    ways that it names go on."""
    monkeypatch.chdir(tmp_path)
    few = [*WORDS[:-1], "3"]
    assert main([*few, "--score", "closed-form"]) == 0
    (folder,) = (tmp_path / "out").iterdir()
    before = {
        path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".db-shm"
    }
    capsys.readouterr()
    for resume in ([], ["--resume"]):
        assert main([*few, *resume]) == 2
        out, err = capsys.readouterr()
        *talk, line = err.splitlines()
        assert (out, [each for each in talk if not each.startswith("searching")]) == ("", [])
        assert line.startswith("search.run: out/gpu-146M/study.db was created with other settings")
        assert "score: stored ClosedForm(" in line
        assert line.endswith(". Use --score closed-form, or another --out")
        left = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert {name: left.get(name) for name in before} == before
    assert main([*few, "--score", "closed-form"]) == 0
    assert "training-free closed form" in capsys.readouterr().out
    assert main([*few, "--out", "elsewhere"]) == 0
    assert "top-1 (est.)" in capsys.readouterr().out


def test_the_baseline_is_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the phone at 146M: no winner that is ShuffleNet v2 1x itself, its files under its own
    name, and two lines that say so. By the mean of the estimate there are winners."""
    words = ["--target", "arm", "--budget", "146M", "--trials", "150", "--out"]
    assert main([*words, str(tmp_path / "0")]) == 0
    out, _ = capsys.readouterr()
    record = json.loads((tmp_path / "0" / "winners.json").read_text(encoding="utf-8"))
    assert record["winners"] == []
    assert record["baseline"]["files"] == ["baseline.safetensors", "baseline.onnx"]
    lines = out.splitlines()
    assert not any(line.startswith("winner") for line in lines)
    (none,) = [line for line in lines if line.startswith("no winner: once 1 standard deviation ")]
    (do,) = [line for line in lines if line.startswith("what to do: take ShuffleNet v2 1x, ")]
    assert record["advice"] == [none, do]
    assert "--optimism 1 ranks by the mean" in do and "--data DIR replaces" in do
    assert main([*words, str(tmp_path / "1"), "--optimism", "1"]) == 0
    out, _ = capsys.readouterr()
    assert "winner 1: fastest at the baseline's score or better" in out
    assert "what to do" not in out
    record = json.loads((tmp_path / "1" / "winners.json").read_text(encoding="utf-8"))
    assert record["winners"][0]["speed_up"] > 1.05
    assert record["advice"] == []
