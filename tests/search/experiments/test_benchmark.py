from __future__ import annotations

import json

import pytest

from search.benchmark import main
from search.optimizer import SAMPLERS


@pytest.mark.slow
def test_scoring(capsys: pytest.CaptureFixture[str]) -> None:
    """No speed is asserted; that it is a rate is: ten times the rows, about the same number."""
    rates = []
    for rows in (20_000, 200_000):
        words = ["scoring", "--architectures", str(rows), "--repeats", "3", "--format", "json"]
        assert main(words) == 0
        found = json.loads(capsys.readouterr().out)
        assert 0 < found["slowest"] <= found["architectures_per_s"] <= found["fastest"]
        assert (found["architectures"], found["repeats"], found["threads"]) == (rows, 3, 1)
        assert found["target"] == "arm"
        rates.append(found["architectures_per_s"])
    assert 0.1 < rates[1] / rates[0] < 10


@pytest.mark.slow
def test_scoring_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scoring", "--architectures", "1000", "--repeats", "1"]) == 0
    assert "million architectures/s, one thread" in capsys.readouterr().out


@pytest.mark.slow
def test_samplers(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["samplers", "--trials", "40", "--seeds", "1", "--format", "json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["sampler"] for row in found["rows"]] == list(SAMPLERS)
    for row in found["rows"]:
        (speed_up,) = row["speed_ups"]
        assert speed_up is None or 0 < speed_up <= found["bound"]
    best = found["rows"][0]["speed_ups"][0]
    assert best is not None
    assert all(best >= (row["speed_ups"][0] or 0) for row in found["rows"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scoring", "--architectures", "0"], "must be from 1 to 5000000; got 0"),
        (["scoring", "--architectures", "1000000000000"], "must be from 1 to 5000000"),
        (["scoring", "--repeats", "-1"], "must be from 1 to 1000; got -1"),
        (["scoring", "--seed", "4294967296"], "--seed must be from 0 to 4294967295"),
        (["scoring", "--target", "x"], "unknown target 'x'"),
        (["samplers", "--trials", "0"], "--trials must be from 1 to 10000000; got 0"),
        (["samplers", "--budget", "5"], "a budget must be"),
        (["samplers", "--budget", "5M"], "none fits 5M"),
    ],
)
def test_wrong_usage(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
