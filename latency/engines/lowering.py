"""What the three writers of models share: the input's shape and the walk over a block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from space.graph.builder import Step
from space.graph.op import Op
from space.network.block import Block

B = TypeVar("B", int, str, int | str)  # a number of images, or a name for it
V = TypeVar("V")  # how a writer names a value: a string, a number


def input_shape(blocks: Sequence[Block], batch: B) -> tuple[B | int, int, int, int]:
    """Shape [batch, c, h, w] of the input of a chain.

    Raises:
        ValueError: no blocks.
    """
    if not blocks:
        raise ValueError("a model needs at least one block; got none")
    return (batch, blocks[0].c_in, blocks[0].height, blocks[0].width)


def walk_block(
    block: Block,
    value: V,
    *,
    write_op: Callable[[int, Op, list[V]], V],
    write_split: Callable[[tuple[int, ...], V], Sequence[V] | None],
) -> V:
    """Write a block that reads `value`, step by step; return its output.

    Args:
        write_op: (index of the step, op, inputs) -> output.
        write_split: (indices of slices that together cut a value into parts, that value) -> one
            output per slice, or None to write each slice as an op.
    """
    steps = block.steps
    values: dict[int, V] = {0: value}
    for index, step in enumerate(steps):
        if index + 1 in values:
            continue
        inputs = [values[source] for source in step.inputs]
        slices = full_split(steps, index)
        parts = write_split(slices, inputs[0]) if slices else None
        if parts is None:
            values[index + 1] = write_op(index, step.op, inputs)
        else:
            values |= {i + 1: part for i, part in zip(slices, parts, strict=True)}
    return values[len(steps)]


def full_split(steps: Sequence[Step], index: int) -> tuple[int, ...]:
    """The slice at `index` and the later slices of the same value, in the order of their channels,
    if they cover each channel exactly once; empty if they do not, or if it is no slice."""
    if steps[index].op.kind != "slice":
        return ()
    source = steps[index].inputs
    found = [
        i
        for i, step in enumerate(steps)
        if i >= index and step.op.kind == "slice" and step.inputs == source
    ]
    found.sort(key=lambda i: int(steps[i].op.start))
    end = 0
    for i in found:
        if steps[i].op.start != end:
            return ()
        end += int(steps[i].op.c_out)
    return tuple(found) if end == steps[index].op.c_in else ()
