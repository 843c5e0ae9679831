"""The ncnn writer: its text by hand, and its outputs against torch's."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from latency.engines.ncnn.writer import build_model, build_param, ncnn_layers
from latency.engines.testing import EXAMPLES
from latency.engines.weights import random_weights
from space.common.errors import MissingOpError
from space.graph import op
from space.graph.builder import GraphBuilder
from space.network.block import Block
from space.units import unit_kinds
from space.zoo.catalog import published_network


def lines(*blocks: Block) -> list[str]:
    """The layers without their padding."""
    return [" ".join(line.split()) for line in build_param(blocks).splitlines()]


def test_a_unit_by_hand() -> None:
    """Written after ncnn's operators.md: 0 channels, 1 kernel, 3 stride, 4 pad, 5 bias, 6 size of
    the weight, 7 groups, 9 activation (1: ReLU)."""
    block = Block("shufflenet_v2", 6, 5, c_in=8, c_out=8, branch=2)
    assert lines(block) == [
        "7767517",
        "7 8",
        "Input in0 0 1 in0 0=5 1=6 2=8",
        "Slice b0s0_slice 1 2 in0 b0s0 b0s1 -23300=2,6,-233 1=0",
        "Convolution b0s2 1 1 b0s1 b0s2 0=2 1=1 3=1 4=0 5=1 6=4 9=1",
        "ConvolutionDepthWise b0s3 1 1 b0s2 b0s3 0=2 1=3 3=1 4=1 5=1 6=18 7=2",
        "Convolution b0s4 1 1 b0s3 b0s4 0=2 1=1 3=1 4=0 5=1 6=4 9=1",
        "Concat b0s5_joined 2 1 b0s0 b0s4 b0s5_joined 0=0",
        "ShuffleChannel b0s5 1 1 b0s5_joined out0 0=2",
    ]


def test_what_is_read_twice_stands_behind_a_split() -> None:
    block = Block("inverted_residual", 5, 5, c_in=4, c_out=4, expansion=1, residual=1)
    assert lines(block)[2:] == [
        "Input in0 0 1 in0 0=5 1=5 2=4",
        "Split in0_split 1 2 in0 in0_0 in0_1",
        "ConvolutionDepthWise b0s0 1 1 in0_0 b0s0 0=4 1=3 3=1 4=1 5=1 6=36 7=4 9=3 "
        "-23310=2,0.0,6.0",
        "Convolution b0s1 1 1 b0s0 b0s1 0=4 1=1 3=1 4=0 5=1 6=16",
        "BinaryOp b0s2 2 1 in0_1 b0s1 out0 0=0",
    ]


def test_as_many_layers_as_ncnns_own_graph_of_shufflenet_v2() -> None:
    """benchmark/shufflenet_v2.param of ncnn: 109 layers and 125 blobs with its Softmax; 16
    ShuffleChannel and Concat, 13 Slice, 3 Split."""
    network = published_network("ShuffleNet v2 1.0x").network()
    text = lines(*network.blocks)
    assert text[1] == "108 124"
    kinds = Counter(line.split()[0] for line in text[2:])
    assert (kinds["ShuffleChannel"], kinds["Concat"], kinds["Slice"]) == (16, 16, 13)
    assert (kinds["Split"], kinds["Pooling"], kinds["InnerProduct"]) == (3, 2, 1)
    assert kinds["Convolution"] + kinds["ConvolutionDepthWise"] == 56


@pytest.mark.parametrize("text", EXAMPLES)
def test_each_value_is_written_before_it_is_read_and_read_once(text: str) -> None:
    written: set[str] = set()
    read: list[str] = []
    names = []
    for layer in ncnn_layers([Block.parse(text)]):
        assert written >= set(layer.inputs)
        assert not written & set(layer.outputs)
        written |= set(layer.outputs)
        read += layer.inputs
        names.append(layer.name)
    assert len(read) == len(set(read)) and len(names) == len(set(names))
    assert written - set(read) == {"out0"}


def test_weights_lie_in_the_order_of_the_layers() -> None:
    """Tag 0 and the weight, then the bias, of each convolution and linear layer."""
    block = Block("head", 4, 4, c_in=3, c_out=5, classes=2)
    _, data = build_model([block], weights=random_weights(7))
    weights = random_weights(7)
    (w1, b1), (w2, b2) = (weights(0, i, block.ops[i]) for i in (0, 2))
    expected = [w1, b1, w2, b2]
    assert data[:4] == data[4 * 21 : 4 * 22] == bytes(4)
    values = np.frombuffer(data, "<f4")
    assert np.array_equal(
        values, np.concatenate([[0], w1.ravel(), b1, [0], w2.ravel(), b2]).astype("<f4")
    )
    assert len(values) == 2 + sum(array.size for array in expected)


def test_a_slice_that_leaves_channels_out_is_a_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    g = GraphBuilder(8, 4, 4)
    g.slice(0, 2, 3)
    monkeypatch.setattr(Block, "steps", property(lambda _: tuple(g.steps)))
    block = Block("classifier", 4, 4, c_in=8)
    assert lines(block)[3] == "Crop b0s0 1 1 in0 out0 -23309=1,2 -23310=1,5 -23311=1,0"


def test_an_op_that_ncnn_has_not_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(op, "KINDS", ("fold", "conv"))
    g = GraphBuilder(8, 4, 4)
    g.op("fold", (0,), 8)
    monkeypatch.setattr(Block, "steps", property(lambda _: tuple(g.steps)))
    with pytest.raises(MissingOpError, match=r"ncnn has no layer for op kind 'fold' \(fold@4x4"):
        build_param([Block("classifier", 4, 4, c_in=8)])


def test_no_blocks() -> None:
    with pytest.raises(ValueError, match="at least one block; got none"):
        build_param([])


def test_every_unit_is_tried() -> None:
    assert {Block.parse(text).kind for text in EXAMPLES} == set(unit_kinds())


def test_same_seed_same_bytes() -> None:
    block = Block.parse(EXAMPLES[0])
    first, again, other = (build_model([block], weights=random_weights(s)) for s in (1, 1, 2))
    assert first == again and first[1] != other[1] and first[0] == other[0]


def test_a_layer_after_a_global_pool_is_linear() -> None:
    """ncnn's pool leaves one dimension, of which it has no convolution."""
    block = Block("mobile_head", 4, 4, c_in=2, c_out=3, hidden=5, hidden_norm=1, classes=2)
    assert lines(block)[4:] == [
        "Pooling b0s1 1 1 b0s0 b0s1 0=1 4=1",
        "InnerProduct b0s2 1 1 b0s1 b0s2 0=5 1=1 2=15 9=1",
        "InnerProduct b0s3 1 1 b0s2 out0 0=2 1=1 2=10",
    ]


def test_activations_of_layers_and_after_them() -> None:
    """operators.md: 6 is hard-swish with alpha and beta; hard-sigmoid and Swish are layers."""
    block = Block("mb_separable", 6, 6, c_in=4, c_out=4, act=2, se=2)
    third = f"-23310=2,{1 / 6},0.5"
    assert lines(block)[3:9] == [
        f"ConvolutionDepthWise b0s0 1 1 in0 b0s0 0=4 1=3 3=1 4=1 5=1 6=36 7=4 9=6 {third}",
        "Split b0s0_split 1 2 b0s0 b0s0_0 b0s0_1",
        "Pooling b0s1 1 1 b0s0_0 b0s1 0=1 4=1",
        "InnerProduct b0s2 1 1 b0s1 b0s2 0=2 1=1 2=8 9=1",
        "InnerProduct b0s3 1 1 b0s2 b0s3_act 0=4 1=1 2=8",
        f"HardSigmoid b0s3_act 1 1 b0s3_act b0s3 0={1 / 6} 1=0.5",
    ]
    kinds = [line.split()[0] for line in lines(Block("mobile_stem", 6, 6, c_out=4, act=3))[3:]]
    assert kinds == ["Convolution", "Swish"]


def test_pools_without_padding_round_up() -> None:
    """Parameter 5 of Pooling: 0 rounds the size up."""
    found = lines(Block("squeezenet_stem", 20, 20, c_out=4))
    assert found[3].endswith("0=4 1=3 3=2 4=0 5=1 6=108 9=1")
    assert found[4].split()[-6:] == ["out0", "0=0", "1=3", "2=2", "3=0", "5=0"]
