"""What the three writers of models share: the input's shape and the walk over a chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar

from space.graph.builder import Step
from space.graph.op import Op
from space.network.block import Block

B = TypeVar("B", int, str, int | str)  # a number of images, or a name for it
V = TypeVar("V")  # how a writer names a value: a string, a number


def input_shape(blocks: Sequence[Block], batch: B) -> tuple[B | int, int, int, int]:
    """Shape [batch, c, h, w] of the input of a chain; ValueError if it has no blocks."""
    if not blocks:
        raise ValueError("a model needs at least one block; got none")
    return (batch, blocks[0].c_in, blocks[0].height, blocks[0].width)


def walk_chain(
    blocks: Sequence[Block],
    value: V,
    *,
    write_op: Callable[[int, int, Op, list[V]], V],
    write_split: Callable[[int, dict[int, int], V], Sequence[V] | None],
) -> V:
    """Write a chain that reads `value`, step by step; return its output.

    Args:
        write_op: (index of the block, index of the step, op, inputs) -> output.
        write_split: (index of the block, {index of a step: its channels} of slices that together
            cut a value into parts, that value) -> one output per slice, or None to write each
            slice as an op.
    """
    for number, block in enumerate(blocks):
        values: dict[int, V] = {0: value}
        for index, step in enumerate(block.steps):
            if index + 1 in values:
                continue
            inputs = [values[source] for source in step.inputs]
            slices = full_split(block.steps, index)
            parts = write_split(number, slices, inputs[0]) if slices else None
            if parts is None:
                values[index + 1] = write_op(number, index, step.op, inputs)
            else:
                values |= {i + 1: part for i, part in zip(slices, parts, strict=True)}
        value = values[len(block.steps)]
    return value


def full_split(steps: Sequence[Step], index: int) -> dict[int, int]:
    """{index: channels} of the slice at `index` and the later slices of the same value, in the
    order of their channels, if they cover each channel exactly once; else empty."""
    first = steps[index]
    if first.op.kind != "slice":
        return {}
    found = [
        i
        for i in range(index, len(steps))
        if steps[i].op.kind == "slice" and steps[i].inputs == first.inputs
    ]
    found.sort(key=lambda i: int(steps[i].op.start))
    sizes = {i: int(steps[i].op.c_out) for i in found}
    starts = [steps[i].op.start for i in found]
    return sizes if [*starts, first.op.c_in] == [0, *accumulate(sizes.values())] else {}
