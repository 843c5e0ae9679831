from __future__ import annotations

import json

import numpy as np
import pytest

from search.optimum import main
from search.problem.baseline import baseline
from search.problem.budget import parse_budgets
from search.problem.problem import Problem, target_table
from space.architectures.shufflenet_v2 import ShuffleNetV2Space


def test_both_ends_are_proven_and_as_the_problem_prices_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--score", "closed-form", "--seconds", "60", "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    problem = Problem(ShuffleNetV2Space(), target_table("arm"), parse_budgets(["146M"]))
    base = baseline(problem)
    assert base is not None and record["baseline"]["name"] == base.name == "ShuffleNet v2 1x"
    for name in ("fastest", "best"):
        row = record[name]
        assert row["proven"] and row["gap"] == row["left"] == 0
        genes = problem.space.parse(row["architecture"]).genes
        found = problem.evaluate(np.array([genes], dtype=np.int16))
        assert found.feasible.all()
        assert found.score[0] == row["score"] and found.costs.latency_s[0] == row["latency_s"]
    assert record["fastest"]["score"] >= base.score
    assert record["best"]["latency_s"] <= base.latency_s


def test_the_table_says_proven(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--budget", "41M", "--optimism", "1", "--seconds", "60"]) == 0
    out, err = capsys.readouterr()
    assert out.count("proven best of 1.6e15") == 2 and not err
    assert "best score at the baseline's latency or less" in out
    assert "best: shufflenet_v2 stem=" in out and "estimated ImageNet top-1" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--optimism", "2"], "--optimism must be from -10 to 1; got 2"),
        (["--seconds", "0"], "--seconds must be from 0.001 to 86400; got 0"),
        (["--budget", "1M"], "no ShuffleNet v2 is within the budget; give a larger one"),
        (["--budget", "much"], "a budget must be"),
    ],
)
def test_mistakes_are_said_on_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1 and message in err
