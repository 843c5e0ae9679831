"""What the writers of models share: weights of ops, and slices that cut a value up whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from space.graph.builder import Step
from space.graph.op import Op

Array: TypeAlias = NDArray[np.float32]
POOL = 2**21  # random numbers that weights are cut from, float32
# (index of the block, index of the step, op) -> weight [c_out, c_in / groups, k, k] (linear:
# [c_out, c_in]; batch norm: scale [c_out]) and bias [c_out]
Weights: TypeAlias = Callable[[int, int, Op], tuple[Array, Array]]


def random_weights(seed: int = 0) -> Weights:
    """Seeded weights scaled so that activations neither vanish nor overflow: cuts of one row of
    normal numbers, since to draw each anew takes longer than to load a model of them."""
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
    """What `weights` gives for an op, contiguous float32; ValueError if its shapes are wrong."""
    weight, bias = weights(block, step, op)
    if weight.shape != weight_shape(op) or bias.shape != (op.c_out,):
        raise ValueError(
            f"weight and bias of {op} must have shapes {weight_shape(op)} and ({op.c_out},); "
            f"got {weight.shape} and {bias.shape}"
        )
    return (
        np.ascontiguousarray(weight, dtype=np.float32),
        np.ascontiguousarray(bias, dtype=np.float32),
    )


def slices_of_one(steps: Sequence[Step], index: int) -> tuple[int, ...]:
    """The slice at `index` and the later ones of the same value, in the order of their channels,
    if together they give each channel once; empty if they do not."""
    source = steps[index].inputs
    twins = [
        j
        for j, step in enumerate(steps)
        if j >= index and step.op.kind == "slice" and step.inputs == source
    ]
    twins.sort(key=lambda j: int(steps[j].op.start))
    end = 0
    for j in twins:
        if steps[j].op.start != end:
            return ()
        end += int(steps[j].op.c_out)
    return tuple(twins) if end == steps[index].op.c_in else ()
