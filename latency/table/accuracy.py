"""How well a table predicts end-to-end latency, and how well blocks predict each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from latency.table.family_fit import ALIGNMENTS, Floats, alignment, widths_of
from latency.table.interpolate import Interpolator
from latency.table.op_times import GpuRun
from space.common.errors import MissingOpError
from space.common.stats import spearman
from space.network.block import Block, BlockBatch

FOLDS = 5


def common_factor(predicted: Floats, measured: Floats) -> float:
    """The geometric mean of the ratios measured / predicted [n]."""
    return float(np.exp(np.mean(np.log(measured / predicted))))


def error_summary(predicted: Floats, measured: Floats) -> dict[str, Any]:
    """Errors of predictions [n] relative to measurements [n].

    `bias` is their mean (negative: predicted too low). `spearman` is None where it is not defined.
    """
    error = predicted / measured - 1
    size = np.abs(error)
    rank = spearman(predicted, measured)
    return {
        "networks": len(error),
        "mean_abs_error": _short(size.mean()),
        "max_abs_error": _short(size.max()),
        "within_5pct": _short((size <= 0.05).mean()),
        "within_3pct": _short((size <= 0.03).mean()),
        "bias": _short(error.mean()),
        "spearman": None if rank is None else _short(rank),
    }


def scaled_errors(predicted: Floats, factor: float, measured: Floats) -> dict[str, dict[str, Any]]:
    """`error_summary` of predictions [n] without and with a scale factor."""
    return {
        "unscaled": error_summary(predicted, measured),
        "scaled": error_summary(predicted * factor, measured),
    }


def left_out_error(
    seconds: Mapping[Block, float],
    noise: Mapping[Block, float] | None = None,
    gpu: GpuRun | None = None,
) -> dict[str, Any]:
    """Cross-validation of the interpolation: each fold is predicted from the others' blocks.

    `kinds` and `alignments` split the errors by kind of unit and by what divides its width. Blocks
    at the edge of the measured range are not counted, since nothing predicts them.

    Args:
        noise: relative standard error of each block, as the `errors` of an `Interpolator`.
        gpu: as for an `Interpolator`.
    """
    part = np.random.default_rng(0).integers(FOLDS, size=len(seconds)).tolist()
    errors: list[float] = []
    kinds: dict[str, list[float]] = {}
    alignments: dict[str, list[float]] = {name: [] for name in ALIGNMENTS}
    for fold in range(FOLDS):
        known = {b: s for (b, s), p in zip(seconds.items(), part, strict=True) if p != fold}
        others = Interpolator(known, noise, gpu=gpu)
        for block in (block for block in seconds if block not in known):
            one = BlockBatch.of(block)
            try:
                predicted = float(others.predict(one)[0])
            except MissingOpError:
                continue
            errors.append(abs(predicted / seconds[block] - 1))
            kinds.setdefault(_kind(block), []).append(errors[-1])
            alignments[ALIGNMENTS[alignment(widths_of(one))[0]]].append(errors[-1])
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
        "mean_abs_error": _short(np.mean(errors)),
        "median_abs_error": _short(np.median(errors)),
        "abs_error_95pct": _short(np.quantile(errors, 0.95)),
    }


def _short(value: Any) -> float:
    return float(f"{value:.4g}")
