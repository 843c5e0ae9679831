"""Rank correlations and the spread of a sample. A constant column has no rank correlation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def spearman(a: ArrayLike, b: ArrayLike) -> float | None:
    """Spearman's rank correlation of two columns [n]; ties share their mean rank.

    Returns:
        None where it is not defined: fewer than two rows, or a constant column.
    """
    from scipy import stats

    return _correlation(stats.spearmanr, a, b)


def kendall(a: ArrayLike, b: ArrayLike) -> float | None:
    """Kendall's tau-b of two columns [n]; None where it is not defined, as for `spearman`."""
    from scipy import stats

    return _correlation(stats.kendalltau, a, b)


def _correlation(function: Callable[..., Any], a: ArrayLike, b: ArrayLike) -> float | None:
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(function(first, second).statistic)


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation of a sample; None of a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def mean_of(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are not None; None if all are."""
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else None
