from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from space.graph.builder import GraphBuilder, unit
from space.graph.op import Op
from space.network.block import Block, BlockBatch
from space.units import unit_kinds

V2 = {"c_in": 116, "c_out": 116, "branch": 58}


def random_fields(kind: str, rng: np.random.Generator) -> dict[str, int]:
    """Fields of a block that can be computed, every field of the unit given half of the time."""

    def width() -> int:
        return int(12 * rng.integers(1, 30))

    def flag() -> int:
        return int(rng.integers(0, 2))

    stride, kernel = int(rng.integers(1, 3)), int(rng.choice([3, 5, 7]))
    c_in, groups = width(), int(rng.choice([1, 2, 3, 4, 8]))
    c_out = c_in if stride == 1 else c_in + width()
    fields: dict[str, dict[str, int]] = {
        "conv": {"c_out": c_out, "kernel": kernel, "stride": stride, "groups": groups},
        "pointwise_fragments": {
            "c_out": c_in,
            "fragments": int(rng.choice([1, 2, 4])),
            "serial": flag(),
        },
        "stem": {"c_out": c_out, "pool": flag(), "relu6": flag()},
        "head": {"c_out": c_out, "classes": width(), "relu6": flag()},
        "classifier": {"classes": width()},
        "shufflenet_v2": {
            "c_out": c_out,
            "branch": c_in // 2,
            "kernel": kernel,
            "stride": stride,
            "groups": groups,
            "mid": flag() * width(),
            "fragments": int(rng.choice([1, 2, 4])),
            "serial": flag(),
            "residual": flag(),
            "extra_relu": flag(),
        },
        "shufflenet_v1": {
            "c_out": c_out,
            "groups": int(rng.choice([1, 3])),
            "stride": stride,
            "first": flag(),
        },
        "separable": {"c_out": c_out, "kernel": kernel, "stride": stride},
        "inverted_residual": {
            "c_out": c_out,
            "expansion": int(rng.choice([1, 3, 6])),
            "kernel": kernel,
            "stride": stride,
            "residual": flag() if stride == 1 else 0,
        },
        "shufflenet_v2_variant": {
            "c_out": c_out,
            "branch": c_in // 2,
            "stride": stride,
            "project": flag(),
            "receptive": flag(),
            "se": flag() * width(),
            "se_branch": flag() * width(),
            "residual": flag(),
        },
        "shufflenet_v1_wide": {"c_out": c_out, "mid": width(), "stride": stride},
        "resnet_stem": {"c_out": c_out},
        "deep_stem": {"mid": width(), "c_out": c_out},
        "bottleneck": {
            "c_out": c_out,
            "mid": width(),
            "inner": flag() * width(),
            "groups": groups,
            "stride": stride,
            "stride_first": flag(),
            "shortcut_kernel": int(rng.choice([1, 3])),
            "se": flag() * width(),
        },
        "dense_layer": {"growth": width(), "bottleneck": int(rng.choice([1, 4]))},
        "dense_transition": {"c_out": c_out},
        "dense_classifier": {"classes": width()},
        "inception": {
            **{name: width() for name in ("c1", "reduce3", "c3", "reduce5", "c5", "pool")},
            "kernel5": kernel,
        },
        "repvgg": {"c_out": c_out, "stride": stride},
        "repvgg_deployed": {"c_out": c_out, "stride": stride},
        "mobile_stem": {"c_out": c_out, "act": int(rng.integers(4))},
        "mbconv": {
            "c_out": c_out,
            "mid": width(),
            "kernel": kernel,
            "stride": stride,
            "act": int(rng.integers(4)),
            "se": flag() * width(),
        },
        "mb_separable": {"c_out": c_out, "stride": stride, "se": flag() * width()},
        "hidden_classifier": {"hidden": width(), "act": int(rng.integers(4))},
        "uib": {
            "c_out": c_out,
            "mid": width(),
            "start": flag() * 3,
            "kernel": kernel,
            "stride": stride,
        },
        "lcnet": {"c_out": c_out, "kernel": kernel, "stride": stride, "se": flag() * width()},
        "mobileone": {"c_out": c_out, "stride": stride},
        "mobile_head": {
            "c_out": c_out,
            "hidden": flag() * width(),
            "hidden_norm": flag(),
            "act": int(rng.integers(4)),
            "classes": width(),
        },
        "ghost": {"c_out": 2 * c_out, "mid": 2 * width(), "stride": stride, "se": width()},
        "repghost": {"c_out": c_out, "mid": width(), "stride": stride, "kernel": kernel},
        "resnet_basic": {"c_out": c_out, "stride": stride},
        "regnet": {"c_out": c_out, "groups": groups, "stride": stride, "se": flag() * width()},
        "squeezenet_stem": {"c_out": c_out},
        "fire": {"squeeze": width(), "c_out": 2 * c_out, "pool": flag()},
        "squeezenet_head": {"classes": width()},
    }
    return {"c_in": c_in, **fields[kind]}


def random_blocks(n: int, seed: int) -> Iterator[Block]:
    rng = np.random.default_rng(seed)
    for index in range(n):
        kind = unit_kinds()[index % len(unit_kinds())]
        least = 7 if kind in ("squeezenet_stem", "fire") else 1  # pools without padding
        height, width = (int(size) for size in rng.integers(least, 113, 2))
        yield Block(kind, height, width, **random_fields(kind, rng))


def test_text() -> None:
    block = Block("shufflenet_v2", 28, 27, **V2, kernel=5, stride=1)
    assert str(block) == "shufflenet_v2@28x27 c_in=116 c_out=116 branch=58 kernel=5"
    assert Block.parse("shufflenet_v2@28x27 kernel=5 branch=58 c_out=116 c_in=116 mid=0") == block


def test_text_round_trip() -> None:
    blocks = list(random_blocks(500, seed=0))
    assert {block.kind for block in blocks} == set(unit_kinds())
    for block in blocks:
        parsed = Block.parse(str(block))
        assert parsed == block
        assert hash(parsed) == hash(block)
        assert parsed.steps == block.steps


def test_defaults_are_not_stored() -> None:
    short = Block("shufflenet_v2", 28, 28, **V2)
    spelled = Block("shufflenet_v2", 28, 28, **V2, groups=1, stride=1, fragments=1, mid=0)
    assert short == spelled
    assert short["stride"] == spelled["stride"] == 1
    assert (short["kernel"], short["branch"], short.c_in) == (3, 58, 116)


def test_fields_by_numpy_ints_are_plain_ints() -> None:
    block = Block("stem", np.int64(8), np.int64(8), c_out=np.int16(4))  # type: ignore[arg-type]
    assert block == Block("stem", 8, 8, c_out=4)
    assert type(block.height) is type(block["c_out"]) is int


def test_unknown_field_of_a_block() -> None:
    with pytest.raises(KeyError, match="colour"):
        Block("stem", 8, 8, c_out=4)["colour"]


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="height"):
        Block("stem", 8, 8, c_out=4).height = 9  # type: ignore[misc]


def test_costs_by_hand() -> None:
    """ShuffleNet v2 1x, stage 2, stride 1: 58 channels of 28x28 through two 1x1 and one 3x3."""
    block = Block("shufflenet_v2", 28, 28, **V2)
    assert block.flops == (2 * 3_364 + 522) * 784
    assert block.params == 2 * 3_364 + 522 + 3 * 2 * 58
    assert block.out_shape == (116, 28, 28)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"malformed block '': must look like 'kind@HxW"),
        ("stem", "malformed block 'stem': must look like"),
        ("stem@8 c_out=4", "malformed block .*must look like"),
        ("stem@8x8 c_out=", "malformed block .*must look like"),
        ("stem@8x8 c_out=4 c_out=5", "a name occurs twice"),
        ("stem@8x8 c_out=four", "malformed block .*invalid literal.*'four'"),
        ("stem@8x8", r"stem takes c_in, c_out, .*stride; unknown: -, missing: \['c_out'\]"),
        ("stem@8x8 c_out=4 x=1", r"unknown: \['x'\], missing: -"),
        ("tower@8x8 c_out=4", "block kind must be one of conv, .*stem.*; got 'tower'"),
        ("stem@8x8 c_out=0", "`c_out` of conv must be at least 1; got 0"),
        ("stem@0x8 c_out=4", "`height` of conv must be at least 1; got 0"),
        ("separable@8x8 c_in=4 c_out=4 kernel=2", "`kernel` of dwconv must be odd; got 2"),
        ("shufflenet_v2@8x8 c_in=8 c_out=8 branch=8", "`c_out` of slice must be at least 1"),
        ("shufflenet_v2@8x8 c_in=9 c_out=9 branch=4", "got 9 -> 9 in 2 groups"),
        ("shufflenet_v2@8x8 c_in=8 c_out=16 branch=4", "keeps its channels; got 8 -> 16"),
        ("shufflenet_v2@8x8 c_in=8 c_out=8 branch=4 fragments=0", "`fragments` must be at least"),
        ("pointwise_fragments@8x8 c_in=8 c_out=8 fragments=0", "`fragments` must be at least 1"),
        ("shufflenet_v1@8x8 c_in=12 c_out=24", "add takes equal shapes"),
        ("inverted_residual@8x8 c_in=8 c_out=16 residual=1", "add takes equal shapes"),
        ("inverted_residual@8x8 c_in=8 c_out=8 stride=2 residual=1", "add takes equal shapes"),
    ],
)
def test_malformed_text(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Block.parse(text)


def test_a_kind_is_registered_once() -> None:
    with pytest.raises(ValueError, match="block kind 'stem' is registered already"):
        unit("stem")(lambda graph: None)


def test_steps_read_only_what_stands_before_them() -> None:
    for block in random_blocks(90, seed=1):
        for index, step in enumerate(block.steps):
            assert step.inputs
            assert all(0 <= value <= index for value in step.inputs), str(block)


def test_steps_fit_together() -> None:
    """Followed step by step from the outside: each op reads the channels and size it names."""
    for block in random_blocks(180, seed=2):
        shapes = [(block.c_in, block.height, block.width)]
        for op, inputs in ((step.op, step.inputs) for step in block.steps):
            read = [shapes[value] for value in inputs]
            if op.kind == "mul":
                assert read.pop() == (op.c_in, 1, 1), str(block)
            assert all(shape[1:] == (op.height, op.width) for shape in read), str(block)
            channels = sum(shape[0] for shape in read)
            wanted = op.c_in * len(read) if op.kind == "add" else op.c_in
            assert channels == wanted, f"{op} of {block}"
            if op.kind == "slice":
                assert op.start + op.c_out <= op.c_in
            shapes.append((int(op.c_out), int(op.out_height), int(op.out_width)))
        assert shapes[-1] == block.out_shape


@pytest.mark.parametrize(
    ("c_in", "c_out", "asked", "used"),
    [
        (58, 58, 4, 2),
        (64, 64, 8, 8),
        (24, 58, 8, 2),
        (27, 9, 3, 3),
        (25, 58, 4, 1),
        (12, 18, 4, 2),
    ],
)
def test_groups_are_cut_to_what_divides_both_widths(
    c_in: int, c_out: int, asked: int, used: int
) -> None:
    graph = GraphBuilder(c_in, 4, 4)
    graph.conv(0, c_out, groups=asked)
    assert graph.steps[0].op.groups == used
    rows = GraphBuilder(np.array([c_in, 8]), 4, 4)
    rows.conv(0, np.array([c_out, 8]), groups=asked)
    assert np.asarray(rows.steps[0].op.groups).tolist() == [used, np.gcd(8, asked)]


def assert_same_ops(batch: BlockBatch, blocks: list[Block]) -> None:
    steps = batch.steps
    for index, block in enumerate(blocks):
        assert [step.inputs for step in steps] == [step.inputs for step in block.steps]
        for many, one in zip(steps, block.steps, strict=True):
            for field in dataclasses.fields(Op):
                values = np.broadcast_to(getattr(many.op, field.name), len(blocks))
                assert values[index] == getattr(one.op, field.name), f"{field.name} of {one.op}"


STRUCTURES: list[tuple[str, dict[str, Any]]] = [
    ("stem", {}),
    ("stem", {"pool": 0, "relu6": 1}),
    ("head", {}),
    ("conv", {"kernel": 3}),
    ("separable", {}),
    ("pointwise_fragments", {"fragments": 4, "serial": 1}),
    ("shufflenet_v1", {"first": 1, "stride": 2}),
    ("inverted_residual", {"stride": 2}),
    ("shufflenet_v2", {"stride": 1}),
    ("shufflenet_v2", {"stride": 2}),
    ("shufflenet_v2", {"stride": 1, "fragments": 4, "serial": 1, "residual": 1}),
    ("shufflenet_v2", {"stride": 2, "fragments": 2, "extra_relu": 1}),
]


@pytest.mark.parametrize(("kind", "structure"), STRUCTURES)
def test_batch_lowers_to_the_ops_of_its_blocks(kind: str, structure: dict[str, int]) -> None:
    rng = np.random.default_rng(5)
    n = 20
    c_in = 12 * rng.integers(1, 30, n)
    c_out = c_in if structure.get("stride") == 1 else c_in + 12 * rng.integers(1, 30, n)
    columns: dict[str, Any] = {"c_in": c_in, "c_out": c_out, **structure}
    if kind == "shufflenet_v2":
        columns |= {
            "branch": c_in // 2,
            "kernel": rng.choice([3, 5, 7], n),
            "groups": rng.choice([1, 2, 4, 8], n),
            "mid": rng.choice([0, 8, 24], n),  # 0: as many as branch
        }
    batch = BlockBatch(kind, 28, 21, columns)
    assert len(batch) == n
    rows = [
        {name: int(np.broadcast_to(value, n)[index]) for name, value in columns.items()}
        for index in range(n)
    ]
    blocks = [Block(kind, 28, 21, **row) for row in rows]
    assert [batch.block(index) for index in range(n)] == blocks
    assert_same_ops(batch, blocks)


def test_batch_of_one() -> None:
    for block in random_blocks(90, seed=4):
        batch = BlockBatch.of(block)
        assert len(batch) == 1
        assert batch.block(0) == block
        assert_same_ops(batch, [block])


def test_batch_columns() -> None:
    batch = BlockBatch("separable", 8, 8, {"c_in": np.array([4, 8, 12]), "c_out": 16})
    assert batch.column("c_in").tolist() == [4, 8, 12]
    assert batch.column("c_out").tolist() == [16, 16, 16]
    assert batch.column("kernel").tolist() == [3, 3, 3]
    with pytest.raises(KeyError, match="colour"):
        batch.column("colour")


def test_batch_refuses_fields_it_does_not_know() -> None:
    with pytest.raises(ValueError, match=r"separable takes .*; unknown: \['x'\], missing: -"):
        BlockBatch("separable", 8, 8, {"c_in": 4, "c_out": 16, "x": 1})
    with pytest.raises(ValueError, match=r"missing: \['c_out'\]"):
        BlockBatch("separable", 8, 8, {"c_in": 4})
    with pytest.raises(ValueError, match="block kind must be one of"):
        BlockBatch("tower", 8, 8, {"c_in": 4})
    with pytest.raises(ValueError, match="add takes equal shapes"):
        _ = BlockBatch(
            "inverted_residual", 8, 8, {"c_in": np.array([4, 8]), "c_out": 8, "residual": 1}
        ).steps
    with pytest.raises(ValueError, match="keeps its channels"):
        _ = BlockBatch(
            "shufflenet_v2", 8, 8, {"c_in": np.array([4, 8]), "c_out": 8, "branch": 2}
        ).steps
