from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from space.network.block import Block
from space.units.basic import even_share


def kinds(block: Block) -> list[str]:
    return [step.op.kind for step in block.steps]


def v2(**fields: int) -> Block:
    stride = fields.get("stride", 1)
    widths = {"c_in": 64 if stride == 1 else 32, "c_out": 64, "branch": 32}
    return Block("shufflenet_v2", 28, 28, **{**widths, **fields})


def test_even_share_is_the_nearest_even_number() -> None:
    """Against a search over every even number; of two equally near ones the lower."""
    for numerator, denominator in ((1, 4), (3, 8), (1, 2), (5, 8), (3, 4), (2, 1), (4, 1), (1, 3)):
        values = np.arange(1, 300)
        many = np.asarray(even_share(values, numerator, denominator))
        for value in values.tolist():
            exact = Fraction(value * numerator, denominator)
            evens = range(2, 1300, 2)
            low = max(2, int(exact) - 4)
            near = min(evens[low // 2 - 1 : low // 2 + 5], key=lambda even: abs(even - exact))
            assert even_share(value, numerator, denominator) == near == many[value - 1]


@pytest.mark.parametrize(("width", "share", "branch"), [(116, (1, 2), 58), (116, (3, 8), 44)])
def test_even_share_of_the_papers_width(width: int, share: tuple[int, int], branch: int) -> None:
    assert even_share(width, *share) == branch


def test_stem() -> None:
    block = Block("stem", 224, 224, c_out=24)
    assert kinds(block) == ["conv", "maxpool"]
    assert block.out_shape == (24, 56, 56)
    assert block.flops == 8_128_512
    bare = Block("stem", 224, 224, c_out=32, pool=0, relu6=1)
    assert kinds(bare) == ["conv"]
    assert bare.out_shape == (32, 112, 112)
    assert (block.ops[0].act, bare.ops[0].act) == ("relu", "relu6")


def test_head_and_classifier() -> None:
    head = Block("head", 7, 7, c_in=464, c_out=1024)
    assert kinds(head) == ["conv", "globalpool", "linear"]
    assert head.flops == 464 * 1024 * 49 + 1_024_000
    assert head.params == 464 * 1024 + 2 * 1024 + 1_025_000
    assert head.out_shape == (1000, 1, 1)
    assert Block("head", 7, 7, c_in=8, c_out=16, relu6=1).ops[0].act == "relu6"
    tail = Block("classifier", 7, 7, c_in=960, classes=10)
    assert kinds(tail) == ["globalpool", "linear"]
    assert (tail.flops, tail.params) == (9_600, 9_610)


def test_shufflenet_v2_stride_1() -> None:
    """Paper, Figure 3 c: half passes, half goes through 1x1, depthwise, 1x1."""
    block = Block("shufflenet_v2", 14, 14, c_in=232, c_out=232, branch=116)
    assert kinds(block) == ["slice", "slice", "conv", "dwconv", "conv", "concat"]
    passing, active = block.ops[:2]
    assert (passing.start, passing.c_out) == (0, 116)
    assert (active.start, active.c_out) == (116, 116)
    assert [op.act for op in block.ops] == ["", "", "relu", "", "relu", ""]
    assert block.steps[-1].inputs == (1, 5)
    assert block.ops[-1].groups == 2
    assert block.flops == 196 * (2 * 116 * 116 + 9 * 116)


def test_shufflenet_v2_uneven_split() -> None:
    block = Block("shufflenet_v2", 14, 14, c_in=64, c_out=64, branch=24, kernel=5)
    passing, active = block.ops[:2]
    assert (passing.start, passing.c_out, active.start, active.c_out) == (0, 40, 40, 24)
    assert block.flops == 196 * (2 * 24 * 24 + 25 * 24)
    assert block.out_shape == (64, 14, 14)


def test_shufflenet_v2_stride_2() -> None:
    """Paper, Figure 3 d, stage 2 of 1x: both sides read all 24 channels."""
    block = Block("shufflenet_v2", 56, 56, c_in=24, c_out=116, branch=58, stride=2)
    assert kinds(block) == ["dwconv", "conv", "conv", "dwconv", "conv", "concat"]
    assert [step.inputs for step in block.steps] == [(0,), (1,), (0,), (3,), (4,), (2, 5)]
    projection = 784 * (9 * 24 + 24 * 58)
    branch = 3136 * 24 * 58 + 784 * (9 * 58 + 58 * 58)
    assert block.flops == projection + branch
    assert block.out_shape == (116, 28, 28)


def test_bottleneck() -> None:
    block = v2(mid=8)
    assert [op.c_out for op in block.ops] == [32, 32, 8, 8, 32, 64]
    assert block.flops == 784 * (2 * 32 * 8 + 9 * 8)
    assert v2(mid=32).flops == v2().flops


def test_groups_apply_to_the_1x1_convolutions() -> None:
    block = v2(groups=4)
    assert [op.groups for op in block.ops if op.kind == "conv"] == [4, 4]
    assert block.flops == 784 * (2 * 32 * 32 // 4 + 9 * 32)
    strided = v2(groups=4, stride=2)
    assert [op.groups for op in strided.ops if op.kind == "conv"] == [4, 4, 4]


@pytest.mark.parametrize("fragments", [2, 4])
@pytest.mark.parametrize("serial", [0, 1])
def test_fragments_cost_equal_flops_and_parameters_but_for_batch_norm(
    fragments: int, serial: int
) -> None:
    block = v2(fragments=fragments, serial=serial)
    assert block.flops == v2().flops
    more = 2 * 32 * (fragments - 1)  # batch norm of each further closing 1x1 convolution
    assert block.params == v2().params + more
    convs = [op for op in block.ops if op.kind in ("conv", "dwconv")]
    assert len(convs) == 3 * fragments
    assert {op.c_out for op in convs} == {32 // fragments, 32}
    assert kinds(block).count("add") == (0 if serial else fragments - 1)


def test_parallel_fragments_read_the_branch_and_serial_ones_each_other() -> None:
    parallel, serial = v2(fragments=2), v2(fragments=2, serial=1)
    firsts = [step.inputs for step in parallel.steps if step.op.kind == "conv"][::2]
    assert firsts == [(2,), (2,)]
    firsts = [step.inputs for step in serial.steps if step.op.kind == "conv"][::2]
    assert firsts == [(2,), (5,)]
    assert v2(fragments=4, serial=1, stride=2).out_shape == (64, 14, 14)
    assert v2(fragments=4, stride=2).out_shape == (64, 14, 14)


def test_residual_adds_the_branch_to_what_went_in() -> None:
    block = v2(residual=1)
    assert kinds(block) == ["slice", "slice", "conv", "dwconv", "conv", "add", "concat"]
    assert block.steps[5].inputs == (2, 5)
    assert block.steps[6].inputs == (1, 6)
    assert v2(residual=1, stride=2).steps == v2(stride=2).steps


def test_extra_relu_is_the_last_step() -> None:
    for stride in (1, 2):
        plain, block = v2(stride=stride), v2(stride=stride, extra_relu=1)
        assert kinds(block) == [*kinds(plain), "relu"]
        assert block.ops[-1].c_out == 64
        assert block.flops == plain.flops


def test_shufflenet_v1_stride_1() -> None:
    """v1 paper, Figure 2 b at g = 3: bottleneck of a quarter, shuffle after the first 1x1."""
    block = Block("shufflenet_v1", 28, 28, c_in=240, c_out=240)
    assert kinds(block) == ["conv", "shuffle", "dwconv", "conv", "add", "relu"]
    assert block.flops == 784 * (2 * 240 * 60 // 3 + 9 * 60)
    assert block.steps[4].inputs == (0, 4)
    assert [op.groups for op in block.ops] == [3, 3, 1, 3, 1, 1]
    assert [op.act for op in block.ops[:4]] == ["relu", "", "", ""]


def test_shufflenet_v1_stride_2() -> None:
    """v1 paper, Figure 2 c: average pool beside, concatenated; the first unit is not grouped."""
    block = Block("shufflenet_v1", 56, 56, c_in=24, c_out=240, stride=2, first=1)
    assert kinds(block) == ["conv", "shuffle", "dwconv", "avgpool", "conv", "concat", "relu"]
    assert block.flops == 3136 * 24 * 60 + 784 * (9 * 60 + 60 * 216 // 3)
    assert block.out_shape == (240, 28, 28)
    later = Block("shufflenet_v1", 28, 28, c_in=240, c_out=480, stride=2)
    assert later.flops == 784 * 240 * 120 // 3 + 196 * (9 * 120 + 120 * 240 // 3)
    ungrouped = Block("shufflenet_v1", 28, 28, c_in=240, c_out=240, groups=1)
    assert "shuffle" not in kinds(ungrouped)


def test_separable() -> None:
    block = Block("separable", 112, 112, c_in=64, c_out=128, stride=2)
    assert kinds(block) == ["dwconv", "conv"]
    assert block.flops == 3136 * (9 * 64 + 64 * 128)
    assert [op.act for op in block.ops] == ["relu", "relu"]


def test_inverted_residual() -> None:
    block = Block("inverted_residual", 28, 28, c_in=32, c_out=32, residual=1)
    assert kinds(block) == ["conv", "dwconv", "conv", "add"]
    assert block.flops == 784 * (2 * 32 * 192 + 9 * 192)
    assert block.steps[-1].inputs == (0, 3)
    assert [op.act for op in block.ops] == ["relu6", "relu6", "", ""]
    first = Block("inverted_residual", 112, 112, c_in=32, c_out=16, expansion=1)
    assert kinds(first) == ["dwconv", "conv"]
    assert first.flops == 12_544 * (9 * 32 + 32 * 16)
    strided = Block("inverted_residual", 56, 56, c_in=24, c_out=32, stride=2, kernel=5)
    assert strided.flops == 3136 * 24 * 144 + 784 * (25 * 144 + 144 * 32)


def test_blocks_of_tables_1_to_3() -> None:
    one = Block("conv", 56, 56, c_in=128, c_out=256, groups=4)
    assert kinds(one) == ["conv"]
    assert (one.flops, one.ops[0].act) == (3136 * 128 * 256 // 4, "relu")
    parallel = Block("pointwise_fragments", 56, 56, c_in=128, c_out=64, fragments=4)
    serial = Block("pointwise_fragments", 56, 56, c_in=64, c_out=64, fragments=4, serial=1)
    assert kinds(parallel) == ["conv"] * 4 + ["add"] * 3
    assert [step.inputs for step in parallel.steps] == [(0,)] * 4 + [(1, 2), (5, 3), (6, 4)]
    assert [step.inputs for step in serial.steps] == [(0,), (1,), (2,), (3,)]
    assert parallel.flops == 4 * 3136 * 128 * 64
    assert serial.flops == 4 * 3136 * 64 * 64


# Units of the networks off the shelf. That whole networks equal timm's is in tests/space/zoo.


def acts(block: Block) -> list[str]:
    return [op.act for op in block.ops]


def test_mbconv() -> None:
    """MobileNetV3 paper, Figure 4: SE on the depthwise convolution's output, hard-sigmoid gate."""
    block = Block("mbconv", 14, 14, c_in=40, c_out=40, mid=240, kernel=5, act=2, se=64, residual=1)
    assert kinds(block) == [
        *("conv", "dwconv", "globalpool", "linear", "linear", "mul", "conv", "add"),
    ]
    assert acts(block) == ["hardswish", "hardswish", "", "relu", "hardsigmoid", "", "", ""]
    assert [step.inputs for step in block.steps][5:] == [(2, 5), (6,), (7, 0)]
    assert block.flops == 196 * (40 * 240 + 25 * 240 + 240 * 40) + 2 * 240 * 64
    assert block.params == (
        (40 * 240 + 480) + (25 * 240 + 480) + (240 * 64 + 64) + (64 * 240 + 240) + (9600 + 80)
    )


def test_mbconv_without_expansion_and_of_efficientnet() -> None:
    block = Block("mb_separable", 12, 12, c_in=32, c_out=16, act=3, se=8)
    assert kinds(block) == ["dwconv", "globalpool", "linear", "linear", "mul", "conv"]
    assert acts(block) == ["silu", "", "silu", "sigmoid", "", ""]
    strided = Block("mbconv", 12, 12, c_in=16, c_out=24, mid=96, stride=2)
    assert strided.out_shape == (24, 6, 6)
    assert acts(strided) == ["relu", "relu", ""]


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`act` must be one of 0 \(relu\), .*; got 4"):
        Block.parse("mbconv@8x8 c_in=4 c_out=4 mid=8 act=4")
    with pytest.raises(ValueError, match=r"`act` must be one of .*; got -1"):
        Block.parse("mobile_stem@8x8 c_out=4 act=-1")


def test_universal_bottleneck() -> None:
    """MobileNetV4 paper, Figure 4: the stride is in the last depthwise convolution."""
    extra = Block("uib", 14, 14, c_in=96, c_out=128, mid=576, start=3, kernel=5, stride=2)
    assert kinds(extra) == ["dwconv", "conv", "dwconv", "conv"]
    assert [(op.kernel, op.stride, op.act) for op in extra.ops] == [
        *((3, 1, ""), (1, 1, "relu"), (5, 2, "relu"), (1, 1, "")),
    ]
    convnext = Block("uib", 14, 14, c_in=96, c_out=128, mid=384, start=3, stride=2)
    assert kinds(convnext) == ["dwconv", "conv", "conv"]
    assert (convnext.ops[0].stride, convnext.out_shape) == (2, (128, 7, 7))
    bottleneck = Block("uib", 7, 7, c_in=8, c_out=8, mid=16, kernel=3, residual=1)
    assert kinds(bottleneck) == ["conv", "dwconv", "conv", "add"]
    with pytest.raises(ValueError, match="stride 2 needs a depthwise convolution"):
        Block.parse("uib@7x7 c_in=8 c_out=8 mid=16 stride=2")


def test_lcnet_and_mobileone_units() -> None:
    block = Block("lcnet", 14, 14, c_in=8, c_out=16, kernel=5, stride=2, se=2)
    assert kinds(block) == ["dwconv", "globalpool", "linear", "linear", "mul", "conv"]
    assert acts(block) == ["hardswish", "", "relu", "hardsigmoid", "", "hardswish"]
    one = Block("mobileone", 14, 14, c_in=8, c_out=16, stride=2)
    assert [(op.kind, op.norm, op.act) for op in one.ops] == [
        *(("dwconv", "bias", "relu"), ("conv", "bias", "relu")),
    ]
    assert one.params == (72 + 8) + (128 + 16)


def test_mobile_heads() -> None:
    v3 = Block("mobile_head", 7, 7, c_in=96, c_out=576, hidden=1024, act=2)
    assert kinds(v3) == ["conv", "globalpool", "linear", "linear"]
    assert acts(v3) == ["hardswish", "", "hardswish", ""]
    assert v3.flops == 49 * 96 * 576 + 576 * 1024 + 1024 * 1000
    v4 = Block("mobile_head", 7, 7, c_in=128, c_out=960, hidden=1280, hidden_norm=1)
    assert kinds(v4) == ["conv", "globalpool", "conv", "linear"]
    assert v4.ops[2].params == 960 * 1280 + 2 * 1280  # batch norm, no bias
    lcnet = Block("hidden_classifier", 7, 7, c_in=8, hidden=4, act=2)
    assert kinds(lcnet) == ["globalpool", "linear", "linear"]
    assert acts(lcnet) == ["", "hardswish", ""]


def test_ghost_units() -> None:
    """GhostNet paper, Figure 3, and RepGhost's at inference: half or all by the depthwise one."""
    fields = {"c_in": 8, "c_out": 12, "mid": 20, "kernel": 5, "stride": 2, "se": 4}
    ghost = Block("ghost", 8, 8, **fields)
    assert kinds(ghost) == [
        *("conv", "dwconv", "concat", "dwconv", "globalpool", "linear", "linear", "mul"),
        *("conv", "dwconv", "concat", "dwconv", "conv", "add"),
    ]
    main = 64 * (8 * 10 + 9 * 10) + 16 * 25 * 20 + 2 * 20 * 4 + 16 * (20 * 6 + 9 * 6)
    assert ghost.flops == main + 16 * (25 * 8 + 8 * 12)
    repghost = Block("repghost", 8, 8, **fields)
    assert kinds(repghost)[:3] == ["conv", "dwconv", "dwconv"]
    main = 64 * (8 * 20 + 9 * 20) + 16 * 25 * 20 + 2 * 20 * 4 + 16 * (20 * 12 + 9 * 12)
    assert repghost.flops == main + 16 * (25 * 8 + 8 * 12)
    assert [op.norm for op in repghost.ops[:2]] == ["batch", "bias"]
    same = Block("repghost", 8, 8, c_in=8, c_out=8, mid=12)
    assert kinds(same) == ["conv", "dwconv", "conv", "dwconv", "add"]
    assert same.steps[-1].inputs == (4, 0)
    with pytest.raises(ValueError, match="a Ghost module halves its channels; got 7"):
        Block.parse("ghost@8x8 c_in=8 c_out=7 mid=12")


def test_residual_units() -> None:
    basic = Block("resnet_basic", 8, 8, c_in=8, c_out=16, stride=2)
    assert kinds(basic) == ["conv", "conv", "conv", "add", "relu"]
    assert basic.flops == 16 * (9 * 8 * 16 + 9 * 16 * 16 + 8 * 16)
    y = Block("regnet", 8, 8, c_in=16, c_out=16, groups=2, se=4)
    assert kinds(y) == [
        *("conv", "conv", "globalpool", "linear", "linear", "mul", "conv", "add", "relu"),
    ]
    assert y.steps[-2].inputs == (7, 0)
    assert y.flops == 64 * (256 + 9 * 16 * 8 + 256) + 2 * 16 * 4


def test_squeezenet_units() -> None:
    stem = Block("squeezenet_stem", 224, 224, c_out=64)
    assert stem.out_shape == (64, 55, 55)
    assert stem.flops == 111 * 111 * 27 * 64
    fire = Block("fire", 55, 55, c_in=128, squeeze=16, c_out=128, pool=1)
    assert kinds(fire) == ["conv", "conv", "conv", "concat", "maxpool"]
    assert fire.out_shape == (128, 27, 27)
    assert fire.params == (128 * 16 + 16) + (16 * 64 + 64) + (16 * 9 * 64 + 64)
    head = Block("squeezenet_head", 13, 13, c_in=512)
    assert kinds(head) == ["conv", "globalpool", "flatten"]
    assert head.out_shape == (1000, 1, 1)
    with pytest.raises(ValueError, match="a Fire module halves its channels; got 7"):
        Block.parse("fire@8x8 c_in=8 squeeze=2 c_out=7")


@pytest.mark.parametrize("kind", ["pointwise_fragments", "shufflenet_v2"])
def test_as_many_fragments_as_no_unit_has_are_refused(kind: str) -> None:
    """A line of a table must not take hours to read."""
    rest = "" if kind == "pointwise_fragments" else " branch=4"
    with pytest.raises(ValueError, match="`fragments` must be at most 64; got 999999"):
        Block.parse(f"{kind}@8x8 c_in=8 c_out=8{rest} fragments=999999")
    with pytest.raises(ValueError, match=r"numbers must be at most 1000000; got '9{30}'"):
        Block.parse(f"{kind}@8x8 c_in=8 c_out=8{rest} fragments={'9' * 30}")
