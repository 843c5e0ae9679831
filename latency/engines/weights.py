"""Weights of ops: what a caller provides, random ones, and their shapes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from space.graph.op import Op

Array: TypeAlias = NDArray[np.float32]
POOL = 2**21  # random numbers from which weights are cut
# Variance and epsilon of a batch norm that only scales and shifts: their sum is exactly 1, in half
# floats too. Some versions of torch refuse an epsilon of 0, and cuDNN one below 1e-5.
NORM_VARIANCE, NORM_EPSILON = 0.5, 0.5
WEIGHTED = ("conv", "dwconv", "linear", "batchnorm")  # kinds of ops
# (index of the block, index of the step, op) -> weight [c_out, c_in / groups, k, k] (linear:
# [c_out, c_in]; batch norm: scale [c_out]) and bias [c_out]
Weights: TypeAlias = Callable[[int, int, Op], tuple[Array, Array]]


def random_weights(seed: int = 0) -> Weights:
    """Seeded normal weights, scaled so that activations neither vanish nor overflow.

    They are cut from one row of random numbers: drawing every weight takes longer than loading a
    model of them.
    """
    rng, pool = np.random.default_rng(seed), _normal(seed)

    def cut(*shape: int) -> Array:
        count = int(np.prod(shape))
        if count > POOL // 2:
            return rng.standard_normal(shape, dtype=np.float32)
        start = int(rng.integers(POOL - count))
        return pool[start : start + count].reshape(shape)

    def weights(block: int, step: int, op: Op) -> tuple[Array, Array]:
        shape = weight_shape(op)
        scale = np.sqrt(2 / np.prod(shape[1:]))
        return cut(*shape) * np.float32(scale), cut(shape[0]) * np.float32(0.01)

    return weights


@cache
def _normal(seed: int) -> Array:
    return np.random.default_rng((seed, POOL)).standard_normal(POOL, dtype=np.float32)


def weight_shape(op: Op) -> tuple[int, ...]:
    """Shape of the weight of a convolution, linear or batch norm op."""
    if op.kind == "batchnorm":
        return (int(op.c_out),)
    if op.kind == "linear":
        return int(op.c_out), int(op.c_in)
    return int(op.c_out), int(op.c_in) // conv_groups(op), int(op.kernel), int(op.kernel)


def conv_groups(op: Op) -> int:
    """Groups of a convolution; a depthwise one has as many as channels."""
    return int(op.c_in if op.kind == "dwconv" else op.groups)


def checked_weights(weights: Weights, block: int, step: int, op: Op) -> tuple[Array, Array]:
    """Weight and bias of an op, contiguous float32; ValueError unless they have the shapes
    `weight_shape(op)` and [c_out]."""
    weight, bias = weights(block, step, op)
    if weight.shape != weight_shape(op) or bias.shape != (op.c_out,):
        raise ValueError(
            f"weight and bias of {op} must have shapes {weight_shape(op)} and ({op.c_out},); "
            f"got {weight.shape} and {bias.shape}"
        )
    return np.ascontiguousarray(weight, np.float32), np.ascontiguousarray(bias, np.float32)
