from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from space.graph.op import ACTIVATIONS, KINDS, Op


def op(kind: str, c_in: int, c_out: int, height: int, width: int, **fields: Any) -> Op:
    return Op(kind=kind, c_in=c_in, c_out=c_out, height=height, width=width, **fields)


def random_op(rng: np.random.Generator) -> Op:
    kind = str(rng.choice(KINDS))
    groups = int(rng.integers(1, 5))
    c_in, c_out = (int(groups * rng.integers(1, 40)) for _ in range(2))
    return op(
        kind,
        c_in,
        c_in if kind == "dwconv" else c_out,
        int(rng.integers(1, 230)),
        int(rng.integers(1, 230)),
        kernel=int(rng.choice([1, 3, 5, 7])),
        stride=int(rng.integers(1, 3)),
        groups=groups,
        start=int(rng.integers(0, 9)),
        act=str(rng.choice(ACTIVATIONS)),
    )


# Every number is worked out here by hand: (op, out size, weights, flops, params, mem_access).
HAND = [
    (
        op("conv", 24, 58, 56, 56, act="relu"),
        (56, 56),
        1_392,  # 24 * 58
        4_365_312,  # 1,392 * 3,136
        1_508,  # 1,392 + 2 * 58
        258_544,  # 75,264 + 181,888 + 1,392
    ),
    (
        op("conv", 3, 24, 224, 224, kernel=3, stride=2),
        (112, 112),
        648,  # 3 * 24 * 9
        8_128_512,  # 648 * 12,544
        696,
        452_232,  # 150,528 + 301,056 + 648
    ),
    (
        op("conv", 240, 60, 28, 28, groups=3),
        (28, 28),
        4_800,  # 80 * 60
        3_763_200,  # 4,800 * 784
        4_920,
        240_000,  # 188,160 + 47,040 + 4,800
    ),
    (
        op("dwconv", 58, 58, 56, 56, kernel=3, stride=2),
        (28, 28),
        522,  # 58 * 9
        409_248,  # 522 * 784
        638,
        227_882,  # 181,888 + 45,472 + 522
    ),
    (
        op("dwconv", 10, 10, 7, 5, kernel=5, stride=2),
        (4, 3),
        250,  # 10 * 25
        3_000,  # 250 * 12
        270,
        720,  # 350 + 120 + 250
    ),
    (op("linear", 1024, 1000, 1, 1), (1, 1), 1_024_000, 1_024_000, 1_025_000, 1_026_024),
    (op("maxpool", 24, 24, 112, 112, kernel=3, stride=2), (56, 56), 0, 0, 0, 376_320),
    (op("avgpool", 6, 6, 5, 5, kernel=3, stride=2), (3, 3), 0, 0, 0, 204),  # 150 + 54
    (op("globalpool", 1024, 1024, 7, 7), (1, 1), 0, 0, 0, 51_200),  # 50,176 + 1,024
    (op("slice", 116, 58, 28, 28, start=58), (28, 28), 0, 0, 0, 0),
    (op("concat", 116, 116, 28, 28, groups=2), (28, 28), 0, 0, 0, 181_888),  # 2 * 90,944
    (op("shuffle", 60, 60, 14, 14, groups=3), (14, 14), 0, 0, 0, 23_520),  # 2 * 11,760
    (op("add", 24, 24, 56, 56), (56, 56), 0, 0, 0, 225_792),  # 3 * 75,264
    (op("mul", 24, 24, 56, 56), (56, 56), 0, 0, 0, 150_552),  # 2 * 75,264 + 24
    (op("batchnorm", 24, 24, 56, 56), (56, 56), 0, 0, 48, 150_528),  # 2 * 75,264
    (op("conv", 8, 4, 6, 6, norm="bias"), (6, 6), 32, 1_152, 36, 464),  # 288 + 144 + 32
    (op("dwconv", 8, 8, 6, 6, kernel=3, norm="none"), (6, 6), 72, 2_592, 72, 648),
    (op("avgpool", 4, 4, 7, 6, kernel=2, stride=2), (4, 3), 0, 0, 0, 216),  # 168 + 48
    (op("relu", 24, 24, 56, 56), (56, 56), 0, 0, 0, 150_528),  # 2 * 75,264
    (op("flatten", 1000, 1000, 1, 1), (1, 1), 0, 0, 0, 0),
    (
        op("conv", 3, 64, 224, 224, kernel=3, stride=2, norm="bias", valid=1),
        (111, 111),
        1_728,  # 27 * 64
        21_290_688,  # 1,728 * 12,321
        1_792,
        940_800,  # 150,528 + 788,544 + 1,728
    ),
    (op("maxpool", 64, 64, 56, 55, kernel=3, stride=2, valid=1), (28, 27), 0, 0, 0, 245_504),
]


@pytest.mark.parametrize(("one", "size", "weights", "flops", "params", "mem_access"), HAND)
def test_costs_by_hand(
    one: Op, size: tuple[int, int], weights: int, flops: int, params: int, mem_access: int
) -> None:
    assert (one.out_height, one.out_width) == size
    assert (one.weights, one.flops, one.params) == (weights, flops, params)
    assert one.mem_access == mem_access


def test_every_kind_is_counted_by_hand() -> None:
    assert {row[0].kind for row in HAND} == set(KINDS)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_output_size_is_that_of_torch(kernel: int, stride: int) -> None:
    weight = torch.empty(4, 1, kernel, kernel, device="meta")
    for height, width in ((1, 1), (7, 8), (9, 16), (161, 225)):
        x = torch.empty(1, 4, height, width, device="meta")
        y = functional.conv2d(x, weight, stride=stride, padding=kernel // 2, groups=4)
        one = op("dwconv", 4, 4, height, width, kernel=kernel, stride=stride)
        assert (one.out_height, one.out_width) == y.shape[2:]


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_output_size_without_padding_is_that_of_torch(kernel: int, stride: int) -> None:
    weight = torch.empty(4, 4, kernel, kernel, device="meta")
    for height, width in ((5, 5), (7, 8), (9, 16), (161, 225), (10, 12)):
        x = torch.empty(1, 4, height, width, device="meta")
        expected = {
            "conv": functional.conv2d(x, weight, stride=stride),
            "maxpool": functional.max_pool2d(x, kernel, stride, ceil_mode=True),
        }
        for kind, y in expected.items():
            one = op(kind, 4, 4, height, width, kernel=kernel, stride=stride, valid=1)
            assert (one.out_height, one.out_width) == y.shape[2:], kind


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_cost_what_single_ops_do(kind: str) -> None:
    rng = np.random.default_rng(3)
    n = 50
    groups = rng.integers(1, 4, n)
    c_in = groups * rng.integers(1, 30, n)
    columns = {
        "c_in": c_in,
        "c_out": c_in if kind == "dwconv" else groups * rng.integers(1, 30, n),
        "kernel": rng.choice([1, 3, 5], n),
        "stride": rng.integers(1, 3, n),
        "groups": groups,
    }
    batch = Op(kind=kind, height=15, width=10, **columns)
    for index in range(n):
        row = {name: int(values[index]) for name, values in columns.items()}
        single = Op(kind=kind, height=15, width=10, **row)
        for name in ("weights", "flops", "params", "mem_access", "in_elements", "out_elements"):
            value = np.broadcast_to(getattr(batch, name), n)[index]
            assert value == getattr(single, name), name


def test_pointwise_is_a_dense_or_grouped_1x1_convolution() -> None:
    assert op("conv", 8, 8, 4, 4).is_pointwise
    assert op("conv", 8, 8, 4, 4, groups=2, stride=2).is_pointwise
    assert not op("conv", 8, 8, 4, 4, kernel=3).is_pointwise
    assert not op("dwconv", 8, 8, 4, 4).is_pointwise
    assert not op("linear", 8, 8, 1, 1).is_pointwise


def test_text() -> None:
    one = op("conv", 24, 58, 56, 57, act="relu", groups=2)
    assert str(one) == "conv@56x57 c_in=24 c_out=58 groups=2 act=relu"
    assert Op.parse("conv@56x57 act=relu groups=2 c_out=58 c_in=24 kernel=1") == one


def test_text_of_what_follows_a_convolution() -> None:
    one = op("conv", 24, 58, 56, 57, act="sigmoid", norm="bias")
    assert str(one) == "conv@56x57 c_in=24 c_out=58 act=sigmoid norm=bias"
    assert Op.parse(str(one)) == one
    assert Op.parse("conv@5x5 c_in=3 c_out=3 norm=batch") == op("conv", 3, 3, 5, 5)


def test_text_round_trip() -> None:
    rng = np.random.default_rng(0)
    ops = [random_op(rng) for _ in range(500)]
    assert {one.kind for one in ops} == set(KINDS)
    for one in ops:
        parsed = Op.parse(str(one))
        assert parsed == one
        assert hash(parsed) == hash(one)
        assert str(parsed) == str(one)


def test_texts_from_before_there_were_more_activations_are_as_they_were() -> None:
    for text in (
        "conv@56x57 c_in=24 c_out=58 groups=2 act=relu",
        "linear@1x1 c_in=8 c_out=4 act=sigmoid",
        "maxpool@9x9 c_in=4 c_out=4 kernel=3 stride=2",
    ):
        assert str(Op.parse(text)) == text
        assert Op.parse(text).valid == 0
    text = "conv@9x9 c_in=4 c_out=4 kernel=3 act=hardswish norm=bias valid=1"
    assert str(Op.parse(text)) == text


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="c_in"):
        op("conv", 8, 8, 4, 4).c_in = 9  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"must look like 'kind@HxW name=value \.\.\.'; got ''"),
        ("conv", r"must look like .*; got 'conv'"),
        ("conv@56", r"must look like .*; got 'conv@56'"),
        ("conv@56x c_in=3 c_out=3", "must look like"),
        ("conv@-5x5 c_in=3 c_out=3", "must look like"),
        ("conv@\u00b25x5 c_in=3 c_out=3", "must look like"),
        ("conv@5x5 c_in c_out=3", "must look like"),
        ("conv@5x5 c_in= c_out=3", "must look like"),
        ("conv@5x5 c_in=3 c_in=4 c_out=3", "a name occurs twice"),
        ("conv@5x5 c_in=3 c_out=x", "malformed op .*invalid literal.*'x'"),
        ("conv@5x5 c_in=3 c_out=2.5", "malformed op .*invalid literal.*'2.5'"),
        ("conv@5x5 c_in=3", "malformed op .*c_out"),
        ("conv@5x5 c_in=3 c_out=4 colour=5", "malformed op .*colour"),
        ("conv@5x5 c_in=3 c_out=4 height=5", "malformed op .*height"),
        ("magic@5x5 c_in=3 c_out=4", "op kind must be one of conv, dwconv, .*; got 'magic'"),
        ("conv@5x5 c_in=3 c_out=4 act=gelu", "`act` must be one of .*; got 'gelu'"),
        ("conv@0x5 c_in=3 c_out=4", "`height` of conv must be at least 1; got 0"),
        ("conv@5x5 c_in=0 c_out=4", "`c_in` of conv must be at least 1; got 0"),
        ("conv@5x5 c_in=3 c_out=-4", "`c_out` of conv must be at least 1; got -4"),
        ("conv@5x5 c_in=3 c_out=4 stride=0", "`stride` of conv must be at least 1; got 0"),
        ("maxpool@5x5 c_in=3 c_out=3 kernel=2", "`kernel` of maxpool must be odd; got 2"),
        ("avgpool@5x5 c_in=3 c_out=3 kernel=2", "`kernel` of avgpool must be odd; got 2"),
        ("conv@5x5 c_in=3 c_out=3 norm=layer", "`norm` must be one of batch, .*; got 'layer'"),
        ("add@5x5 c_in=3 c_out=3 norm=none", "`norm` must be .*; got 'none' of add"),
        ("dwconv@5x5 c_in=3 c_out=4", "dwconv keeps its channels; got 3 -> 4"),
        ("conv@5x5 c_in=6 c_out=4 groups=3", "must divide the channels; got 6 -> 4 in 3 groups"),
        ("conv@5x5 c_in=3 c_out=4 valid=2", "`valid` must be 0, or 1 .*; got 2 of conv"),
        ("dwconv@5x5 c_in=3 c_out=3 valid=1", "`valid` must be 0, or 1 .*; got 1 of dwconv"),
        ("conv@5x2 c_in=3 c_out=3 kernel=3 valid=1", "conv of kernel 3 .* leaves nothing of 5x2"),
        ("maxpool@1x9 c_in=3 c_out=3 kernel=3 valid=1", "leaves nothing of 1x9"),
        ("conv@5x5 c_in=4 c_out=6 groups=4", "must divide the channels; got 4 -> 6 in 4 groups"),
    ],
)
def test_malformed_text(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Op.parse(text)
