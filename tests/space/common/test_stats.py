"""Rank correlations and spread, by hand."""

from __future__ import annotations

import pytest

from space.common.stats import deviation, kendall, mean_of, spearman


def test_spearman_by_hand() -> None:
    """1 - 6 * sum(d^2) / (n (n^2 - 1)), with rank differences 0, 1, 1, 0."""
    assert spearman([1, 2, 3, 4], [10, 30, 20, 40]) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


def test_kendall_by_hand() -> None:
    """5 pairs agree and 1 disagrees; with a tie, tau-b: 2 / sqrt(3 * 2)."""
    assert kendall([1, 2, 3, 4], [10, 30, 20, 40]) == pytest.approx((5 - 1) / 6)
    assert kendall([1, 2, 3], [1, 2, 2]) == pytest.approx(2 / 6**0.5)


@pytest.mark.parametrize("correlation", [spearman, kendall])
@pytest.mark.parametrize(("a", "b"), [([1, 1, 1], [1, 2, 3]), ([1, 2], [5, 5]), ([1], [2])])
def test_a_constant_column_has_none(correlation, a: list[int], b: list[int]) -> None:  # type: ignore[no-untyped-def]
    assert correlation(a, b) is None


def test_spread_and_mean() -> None:
    assert deviation([1.0, 3.0]) == pytest.approx(2**0.5)
    assert deviation([1.0]) is None
    assert mean_of([1.0, None, 2.0]) == 1.5
    assert mean_of([None]) is None
