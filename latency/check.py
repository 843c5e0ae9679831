"""How well a table predicts whole networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from space.block import Block
from space.network import Network

Floats = NDArray[np.float64]


class Predictor(Protocol):
    def network_s(self, blocks: Iterable[Block]) -> float: ...


def predictions(table: Predictor, networks: Sequence[Network]) -> Floats:
    """Predicted seconds of each network, float64 [n]."""
    return np.array([table.network_s(network.blocks) for network in networks])


def common_factor(predicted: Floats, measured: Floats) -> float:
    """The one factor that brings predictions to measurements: geometric mean of the ratios."""
    return float(np.exp(np.mean(np.log(measured / predicted))))


def error_summary(predicted: Floats, measured: Floats) -> dict[str, Any]:
    """Errors relative to the measured; `bias` is their mean (negative: predicted too low)."""
    error = predicted / measured - 1
    size = np.abs(error)
    return {
        "networks": len(error),
        "mean_abs_error": _short(size.mean()),
        "max_abs_error": _short(size.max()),
        "within_5pct": _short((size <= 0.05).mean()),
        "within_3pct": _short((size <= 0.03).mean()),
        "bias": _short(error.mean()),
        "spearman": _short(spearman(predicted, measured)),
    }


def spearman(a: Floats, b: Floats) -> float:
    """Rank correlation of two columns without many ties; 1.0 for fewer than two rows."""
    if len(a) < 2:
        return 1.0
    ranks = [np.argsort(np.argsort(column)) for column in (a, b)]
    return float(np.corrcoef(ranks)[0, 1])


def _short(value: float) -> float:
    return float(f"{value:.4g}")
