"""The estimates of a result's rows, against `evaluator.estimate_accuracy`, and their words."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evaluator.estimate.networks import estimate_accuracy
from latency.table.op_model import OpCostModel
from search.problem.baseline import baseline
from search.problem.estimate_score import with_estimate
from search.problem.problem import Problem
from search.result.estimates import estimate_record, row_estimates
from search.result.rows import ResultRow, estimates_of, result_rows
from search.result.text import print_rows
from search.result.winners import Winner

KERNELS = (
    "shufflenet_v2 stem=24 width=108,248,544 depth=4,5,4 split=1/2,1/2,1/2 kernel=3,3,5 head=1024"
)


@pytest.fixture(scope="module")
def estimated(problem: Problem) -> Problem:
    return with_estimate(problem, recipe="torchvision", optimism=0)


@pytest.fixture(scope="module")
def rows(estimated: Problem) -> list[ResultRow]:
    genes = np.array([estimated.space.parse(KERNELS).genes], dtype=np.int16)
    found, base = estimated.evaluate(genes), baseline(estimated)
    return result_rows(estimated, found, [Winner("winner 1", "fastest", 0)], base)


def test_a_row_has_the_estimate_of_its_network(rows: list[ResultRow]) -> None:
    for row in rows[:2]:
        expected = estimate_accuracy(row.architecture, baseline="ShuffleNet v2 1.0x")
        assert row.estimate is not None
        assert row.estimate.top1 == pytest.approx(expected.mean, rel=1e-12)
        for name in ("low", "high", "difference", "difference_low", "difference_high", "level"):
            got = getattr(row.estimate, name)
            assert got == pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-12)
        assert row.estimate.by_axis["depth3"] == pytest.approx(expected.by_axis["depth3"])
    assert [row.estimate for row in rows[2:]] == [None, None]
    assert list(estimates_of(rows)) == ["winner 1", "ShuffleNet v2 1x"]


def test_the_record_is_json(rows: list[ResultRow], arm: OpCostModel) -> None:
    record = rows[0].record(arm.header)
    assert json.loads(json.dumps(record)) == record
    assert set(record["estimate"]["by_axis"]["kernel4"]) == {"points", "sd"}
    assert (record["estimate"]["recipe"], record["estimate"]["level"]) == ("torchvision", 0.9)
    assert "estimate" not in rows[-1].record(arm.header)


def test_the_screen(
    rows: list[ResultRow],
    estimated: Problem,
    arm: OpCostModel,
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_rows(rows, arm.header, estimated.score.line)
    table, _, words = capsys.readouterr().out.partition("\n\n")
    heading, winner, base, *others = table.splitlines()
    assert max(map(len, table.splitlines())) <= 120
    assert "top-1 (est.)  vs baseline" in heading
    assert "score" not in heading
    assert "70.0 +-1.4   +0.8 +-1.4" in winner
    assert "69.3 +-0.3            -" in base
    assert all(line.split()[-9:-7] != ["+-"] for line in others)
    assert "estimate of ImageNet top-1 in % by the recipe torchvision" in words
    assert "90% intervals" in words
    assert "fastest (score 69.36, the baseline's 69.28)" in words
    assert "  uncertain by, in points: depth3 0.5, width4 0.3, kernel4 0.3\n" in words


def test_other_scores_have_no_estimate(problem: Problem) -> None:
    assert row_estimates(problem, [problem.space.parse(KERNELS).genes]) == [None]
    assert estimate_record(problem) is None
