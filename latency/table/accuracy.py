"""How well a table predicts whole networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from space.common.errors import MissingOpError
from space.network.block import Block, BlockBatch
from space.network.network import Network

Floats = NDArray[np.float64]


class NetworkPredictor(Protocol):
    def network_s(self, blocks: Iterable[Block]) -> float: ...


def predictions(table: NetworkPredictor, networks: Sequence[Network]) -> Floats:
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
    ranks = np.stack([np.argsort(np.argsort(column)) for column in (a, b)]).astype(np.float64)
    first, second = ranks - ranks.mean(axis=1, keepdims=True)
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def left_out_error(
    seconds: Mapping[Block, float],
    noise: Mapping[Block, float] | None = None,
    folds: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """How well blocks are told from the others: each fold predicted without its own entries.

    `kinds` and `alignments` split the same errors by kind of unit and by what divides its width.
    Blocks at the edge of the measured range have nothing to be told from and are not counted.
    `noise`: of each block, as the `errors` of an `Interpolator`.
    """
    from latency.table.family_fit import ALIGNMENTS, alignment, widths_of
    from latency.table.interpolate import Interpolator

    blocks = list(seconds)
    part = np.random.default_rng(seed).integers(folds, size=len(blocks))
    errors: list[float] = []
    kinds: dict[str, list[float]] = {}
    alignments: dict[str, list[float]] = {name: [] for name in ALIGNMENTS}
    for fold in range(folds):
        kept = {b: seconds[b] for b, p in zip(blocks, part, strict=True) if p != fold}
        others = Interpolator(kept, noise)
        for block in (b for b, p in zip(blocks, part, strict=True) if p == fold):
            one = BlockBatch.of(block)
            try:
                predicted = float(others.predict(one)[0])
            except MissingOpError:
                continue
            errors.append(abs(predicted / seconds[block] - 1))
            kinds.setdefault(_kind(block), []).append(errors[-1])
            alignments[ALIGNMENTS[int(alignment(widths_of(one))[0])]].append(errors[-1])
    if not errors:
        return {}
    return {
        **_left_out(errors),
        "kinds": {name: _left_out(kinds[name]) for name in sorted(kinds)},
        "alignments": {name: _left_out(found) for name, found in alignments.items() if found},
    }


def _kind(block: Block) -> str:
    """The kind of a unit, with its stride where that decides what the unit is."""
    strides = "shufflenet_v2", "shufflenet_v1", "separable", "inverted_residual", "bottleneck"
    return f"{block.kind} stride={block['stride']}" if block.kind in strides else block.kind


def _left_out(errors: Sequence[float]) -> dict[str, Any]:
    return {
        "blocks": len(errors),
        "mean_abs_error": _short(float(np.mean(errors))),
        "median_abs_error": _short(float(np.median(errors))),
        "abs_error_95pct": _short(float(np.quantile(errors, 0.95))),
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")
