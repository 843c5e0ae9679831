"""Errors of predictions, by hand and on lines that are interpolated exactly."""

import numpy as np
import pytest

from latency.table.accuracy import common_factor, error_summary, left_out_error
from space.network.block import Block


def test_error_summary_by_hand():
    found = error_summary(np.array([1.04, 2.0, 2.7]), np.array([1.0, 2.0, 3.0]))
    assert found == {
        "networks": 3,
        "mean_abs_error": pytest.approx(0.14 / 3, rel=1e-3),
        "max_abs_error": 0.1,
        "within_5pct": pytest.approx(2 / 3, rel=1e-3),
        "within_3pct": pytest.approx(1 / 3, rel=1e-3),
        "bias": pytest.approx(-0.02, rel=1e-3),
        "spearman": 1.0,
    }
    assert common_factor(np.array([1.0, 1.0]), np.array([2.0, 8.0])) == pytest.approx(4.0)


@pytest.mark.parametrize(
    "predicted, measured, rank",
    [
        ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], -1.0),
        ([2.0, 2.0, 2.0], [1.0, 2.0, 3.0], None),  # a constant column has none
        ([2.0], [1.0], None),
    ],
)
def test_rank_correlation(predicted, measured, rank):
    assert error_summary(np.array(predicted), np.array(measured))["spearman"] == rank


def test_left_out_blocks_of_a_straight_line_are_predicted_exactly():
    blocks = {Block("stem", 224, 224, c_out=8 * c): float(c) for c in range(1, 60)}
    found = left_out_error(blocks)
    assert 40 < found["blocks"] < 60 and found["abs_error_95pct"] < 1e-6
    assert left_out_error(dict(list(blocks.items())[:3])) == {}


def test_left_out_errors_are_split_by_kind_and_alignment():
    """A straight line with noise in one width of two, which is a row of its own."""
    noise = np.random.default_rng(0).uniform(0.5, 1.5, 100)
    blocks = {
        Block("stem", 224, 224, c_out=4 * c): c * (noise[c] if c % 2 else 1.0)
        for c in range(1, 60)
    }
    found = left_out_error(blocks)
    assert found["kinds"] == {
        "stem": {name: found[name] for name in found if name not in ("kinds", "alignments")}
    }
    assert found["alignments"]["8"]["abs_error_95pct"] < 0.2
    assert found["alignments"]["4"]["median_abs_error"] > 0.1
    assert sum(row["blocks"] for row in found["alignments"].values()) == found["blocks"]
