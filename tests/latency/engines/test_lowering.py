"""The walk over a block: the order of its steps, and slices that are one split."""

from __future__ import annotations

import pytest

from latency.engines.lowering import full_split, input_shape, walk_chain
from latency.engines.testing import EXAMPLES
from space.graph.builder import GraphBuilder
from space.graph.op import Op
from space.network.block import Block


def walked(block: Block, splits: bool) -> list[str]:
    """What a writer is asked for: "step(inputs)", and "split(steps)"."""
    calls: list[str] = []

    def write_op(number: int, step: int, op: Op, inputs: list[str]) -> str:
        assert number == 0
        calls.append(f"{step}({','.join(inputs)})")
        return str(step)

    def write_split(number: int, slices: dict[int, int], value: str) -> list[str] | None:
        if splits:
            calls.append(f"split{tuple(slices)}({value})")
        return list(map(str, slices)) if splits else None

    last = walk_chain([block], "x", write_op=write_op, write_split=write_split)
    assert last == str(len(block.steps) - 1)
    return calls


def test_a_unit_by_hand() -> None:
    block = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)
    assert walked(block, splits=True) == ["split(0, 1)(x)", "2(1)", "3(2)", "4(3)", "5(0,4)"]
    assert walked(block, splits=False) == ["0(x)", "1(x)", "2(1)", "3(2)", "4(3)", "5(0,4)"]


@pytest.mark.parametrize("text", EXAMPLES)
def test_each_step_is_written_once_after_its_inputs(text: str) -> None:
    block = Block.parse(text)
    assert [int(call.partition("(")[0]) for call in walked(block, splits=False)] == list(
        range(len(block.steps))
    )


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        ([(0, 3), (3, 5)], (0, 1)),
        ([(3, 5), (0, 3)], (1, 0)),  # in the order of channels
        ([(0, 3), (3, 4)], ()),  # a channel is left out
        ([(0, 4), (3, 5)], ()),  # a channel is read twice
    ],
)
def test_slices_that_are_a_split(slices: list[tuple[int, int]], expected: tuple[int, ...]) -> None:
    g = GraphBuilder(8, 4, 4)
    for start, channels in slices:
        g.slice(0, start, channels)
    assert tuple(full_split(g.steps, 0)) == expected


def test_the_input_of_a_chain() -> None:
    block = Block("conv", 5, 7, c_in=3, c_out=4)
    assert input_shape([block, block], 2) == (2, 3, 5, 7)
    with pytest.raises(ValueError, match="at least one block; got none"):
        input_shape([], 1)
