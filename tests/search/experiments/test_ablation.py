from __future__ import annotations

import json

import pytest

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
        (["--trials", "0"], "must be at least 1"),
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
