"""The activation memory of a run, against torch's own tensors and their storages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.cost.memory import network_peak, peak_elements
from space.graph.builder import Step
from space.graph.op import VIEWS
from space.network.block import Block
from space.zoo.catalog import published_networks, shelf_networks
from tests.helpers.hostile import examples

SPACE = ShuffleNetV2Space()


def storages(values: dict[int, torch.Tensor]) -> int:
    """Bytes of the memory of these tensors, each piece once."""
    each = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in values.values()}
    return sum(each.values())


def held_by_torch(steps: tuple[Step, ...]) -> int:
    """The most bytes that torch holds for int8 tensors of the sizes of these steps, each let go
    after the last step that names it. Kernels are left out: their outputs are empty."""
    first = steps[0].op
    empty = torch.empty(1, int(first.c_in), int(first.height), int(first.width), dtype=torch.int8)
    values, most = {0: empty}, 0
    for number, (op, inputs) in enumerate(((s.op, s.inputs) for s in steps), 1):
        later = {value for step in steps[number:] for value in step.inputs}
        x = values[inputs[0]]
        if op.kind == "slice":
            y = x[:, int(op.start) : int(op.start) + int(op.c_out)]
        elif op.kind in VIEWS:
            y = x.flatten(1)
        else:
            y = torch.empty(
                1, int(op.c_out), int(op.out_height), int(op.out_width), dtype=torch.int8
            )
            if op.kind in ("relu", "mul"):
                place = x.untyped_storage().data_ptr()
                others = [values[v] for v in later & set(values)]
                if all(other.untyped_storage().data_ptr() != place for other in others):
                    y = x
        most = max(most, storages({**values, number: y}))
        values[number] = y
        values = {v: t for v, t in values.items() if v in later or v == number}
    return most


KNOWN = {**published_networks(), **shelf_networks()}


@pytest.mark.parametrize("name", KNOWN)
def test_known_networks_hold_what_torch_holds(name: str) -> None:
    for block in dict.fromkeys(KNOWN[name].network().blocks):
        assert int(peak_elements(block.steps)) == held_by_torch(block.steps), block


@examples(20)
@given(st.integers(0, 2**32 - 1))
def test_property_networks_of_the_space_hold_what_torch_holds(seed: int) -> None:
    (genes,) = SPACE.sample(1, np.random.default_rng(seed))
    blocks = SPACE.lower(SPACE.architecture(genes)).blocks
    assert network_peak(blocks) == max(held_by_torch(block.steps) for block in blocks)


def test_counted_by_hand() -> None:
    """A unit at 4x4 whose branch has 6 of 8 channels: the input stays alive for the channels that
    pass, and at the concatenation there are the branch and the output too."""
    unit = Block("shufflenet_v2", 4, 4, c_in=8, c_out=8, branch=6)
    assert peak_elements(unit.steps) == 16 * (8 + 6 + 8)
    # Stride 2 of 8 to 20 channels, a branch of 12: at its first convolution the input, the
    # projection at 2x2, and 12 channels at 4x4.
    unit = Block("shufflenet_v2", 4, 4, c_in=8, c_out=20, branch=12, stride=2)
    assert peak_elements(unit.steps) == 16 * 8 + 4 * 8 + 16 * 12
    # A residual unit: x, its branch, and their sum; the activation writes into the sum.
    unit = Block("resnet_basic", 4, 4, c_in=8, c_out=8)
    assert peak_elements(unit.steps) == 16 * 3 * 8


def test_a_batch_of_blocks_is_each_of_them() -> None:
    for segment in SPACE.segments(next(iter(SPACE.variants()))):
        rows = np.linspace(0, len(segment.batch) - 1, 5).astype(int)
        found = np.broadcast_to(peak_elements(segment.batch.steps), len(segment.batch))
        expected = [int(peak_elements(segment.batch.block(int(row)).steps)) for row in rows]
        assert found[rows].tolist() == expected
