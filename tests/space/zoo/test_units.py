"""The ops and units that only networks of the zoo have: structure, costs, values by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from latency.engines.onnx.writer import build_model
from latency.engines.weights import random_weights
from latency.table.load import load_table
from latency.table.op_model import OpCostModel
from latency.table.op_terms import amounts
from space.cost.guidelines import Guidelines, elementwise
from space.graph.op import Op
from space.network.block import Block, BlockBatch
from space.network.network import Network
from space.network.torch_module import BlockModule, NetworkModule, folded_weights


def kinds(block: Block) -> list[str]:
    return [step.op.kind for step in block.steps]


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


V2 = {"c_in": 16, "c_out": 16, "branch": 8}


def variant(**fields: int) -> Block:
    return Block("shufflenet_v2_variant", 9, 7, **{**V2, **fields})


def plain(**fields: int) -> Block:
    return Block("shufflenet_v2", 9, 7, **{**V2, **fields})


@pytest.mark.parametrize("stride", [1, 2])
def test_a_variant_without_extras_is_the_plain_unit(stride: int) -> None:
    assert variant(stride=stride).steps == plain(stride=stride).steps


def test_projection_at_stride_1_widens() -> None:
    block = variant(c_in=6, project=1)
    assert kinds(block) == ["dwconv", "conv", "conv", "dwconv", "conv", "concat"]
    assert block.out_shape == (16, 9, 7)
    assert block.flops == 63 * (9 * 6 + 6 * 8 + 6 * 8 + 9 * 8 + 8 * 8)
    with pytest.raises(ValueError, match="passes channels keeps its channels; got 6 -> 16"):
        _ = variant(c_in=6).steps


def test_receptive_field_grows_in_the_branch_alone() -> None:
    block = variant(receptive=1)
    assert kinds(block) == ["slice", "slice", "dwconv", "conv", "dwconv", "conv", "concat"]
    assert block.ops[2].act == ""
    assert block.flops == plain().flops + 63 * 9 * 8
    strided = variant(c_in=6, receptive=1, stride=2)
    assert strided.steps[2].inputs == (0,)  # the branch begins there, at the full size
    assert strided.flops == plain(c_in=6, stride=2).flops + 63 * 9 * 6


def test_squeeze_excitation_of_the_output() -> None:
    block = variant(se=5)
    assert kinds(block)[-5:] == ["concat", "globalpool", "linear", "linear", "mul"]
    assert block.steps[-1].inputs == (6, 9)
    assert [op.act for op in block.ops[-3:]] == ["relu", "sigmoid", ""]
    assert block.flops == plain().flops + 2 * 16 * 5
    assert block.params == plain().params + (16 * 5 + 5) + (5 * 16 + 16)
    assert block.out_shape == (16, 9, 7)


def test_squeeze_excitation_and_residual_of_the_branch() -> None:
    """The order of the appendix: convolution without ReLU, SE, addition, ReLU, concat."""
    block = variant(se_branch=4, residual=1)
    assert kinds(block) == [
        *("slice", "slice", "conv", "dwconv", "conv"),
        *("globalpool", "linear", "linear", "mul", "add", "relu", "concat"),
    ]
    assert block.ops[4].act == ""
    assert block.steps[9].inputs == (2, 9)
    strided = kinds(variant(c_in=6, stride=2, se_branch=4, residual=1))
    assert strided[-3:] == ["mul", "relu", "concat"]
    assert "add" not in strided


def test_squeeze_excitation_by_hand() -> None:
    """torch's functions against the module, whose last four steps it is."""
    block = variant(se=5)
    module = BlockModule(block).eval()
    x = images(2, 16, 9, 7)
    first = Block("shufflenet_v2", 9, 7, **V2)
    before = BlockModule(first).eval()
    before.load_state_dict({k: v for k, v in module.state_dict().items() if int(k[0]) < 5})
    y = before(x)
    one, two = (module.get_submodule(f"{i}.linear") for i in (7, 8))
    assert isinstance(one, nn.Linear) and isinstance(two, nn.Linear)
    scale = torch.sigmoid(two(torch.relu(one(y.mean((2, 3))))))
    assert scale.std() > 0
    torch.testing.assert_close(module(x), y * scale[:, :, None, None])


def test_wide_v1_units() -> None:
    """At ratio 1/4 the v1 unit; where it widens at stride 1 it joins what went in, unpooled."""
    fields = {"c_in": 24, "c_out": 24}
    old, new = "shufflenet_v1", "shufflenet_v1_wide"
    assert Block(new, 8, 8, **fields, mid=6).steps == Block(old, 8, 8, **fields).steps
    fields = {"c_in": 24, "c_out": 48, "stride": 2}
    assert Block(new, 8, 8, **fields, mid=12).steps == Block(old, 8, 8, **fields).steps
    block = Block(new, 8, 8, c_in=64, c_out=360, mid=180)
    assert kinds(block) == ["conv", "shuffle", "dwconv", "conv", "concat", "relu"]
    assert block.steps[4].inputs == (0, 4)
    assert [op.groups for op in block.ops[:4]] == [1, 3, 1, 4]
    assert block.out_shape == (360, 8, 8)


def test_bottlenecks() -> None:
    """ResNet's at stride 2: the stride sits in the first 1x1 or in the 3x3."""
    fields = {"c_in": 8, "c_out": 16, "mid": 4, "stride": 2}
    paper, others = (Block("bottleneck", 8, 8, **fields, stride_first=f) for f in (1, 0))
    assert kinds(paper) == ["conv", "conv", "conv", "conv", "add", "relu"]
    rest = 16 * (9 * 4 * 4 + 4 * 16 + 8 * 16)
    assert paper.flops == 16 * 8 * 4 + rest
    assert others.flops == 64 * 8 * 4 + rest
    same = Block("bottleneck", 8, 8, c_in=16, c_out=16, mid=4)
    assert kinds(same) == ["conv", "conv", "conv", "add", "relu"]
    assert same.steps[3].inputs == (0, 3)
    wide = Block("bottleneck", 8, 8, c_in=8, c_out=16, mid=4, inner=8, groups=2, se=3)
    assert wide.flops == 64 * (8 * 4 + 9 * 4 * 8 // 2 + 8 * 16 + 8 * 16) + 2 * 16 * 3
    shortcut = Block("bottleneck", 8, 8, **fields, shortcut_kernel=3).ops[3]
    assert (shortcut.kernel, shortcut.stride) == (3, 2)


def test_dense_layers() -> None:
    block = Block("dense_layer", 8, 8, c_in=10, growth=3)
    assert kinds(block) == ["batchnorm", "conv", "conv", "concat"]
    assert block.steps[3].inputs == (0, 3)
    assert [op.norm for op in block.ops[1:3]] == ["batch", "none"]
    assert block.params == 2 * 10 + (10 * 12 + 2 * 12) + 9 * 12 * 3
    assert block.out_shape == (13, 8, 8)
    between = Block("dense_transition", 9, 8, c_in=10, c_out=5)
    assert between.params == 2 * 10 + 10 * 5
    assert between.out_shape == (5, 5, 4)


def test_inception_module() -> None:
    fields = {"c1": 1, "reduce3": 2, "c3": 3, "reduce5": 4, "c5": 5, "pool": 6}
    block = Block("inception", 4, 4, c_in=8, **fields)
    assert block.flops == 16 * (8 + 16 + 9 * 2 * 3 + 32 + 25 * 4 * 5 + 48)
    assert block.out_shape == (15, 4, 4)
    assert Guidelines.of([block]).g3 == 7


def test_repvgg_units() -> None:
    identity = Block("repvgg", 4, 4, c_in=8, c_out=8)
    assert kinds(identity) == ["conv", "conv", "add", "batchnorm", "add", "relu"]
    for fields in ({"c_in": 8, "c_out": 9}, {"c_in": 8, "c_out": 8, "stride": 2}):
        assert kinds(Block("repvgg", 4, 4, **fields)) == ["conv", "conv", "add", "relu"]
    deployed = Block("repvgg_deployed", 4, 4, c_in=8, c_out=9)
    assert kinds(deployed) == ["conv"]
    assert deployed.params == 9 * 8 * 9 + 9


def test_elementwise_of_the_new_ops() -> None:
    """Scaling and a lone batch norm are one pass over the map each, and count in G4."""
    fields = {"c_in": 4, "c_out": 4, "height": 5, "width": 5}
    assert elementwise(Op(kind="mul", **fields)) == 204
    assert elementwise(Op(kind="batchnorm", **fields)) == 200
    assert elementwise(Op(kind="batchnorm", **fields, act="relu")) == 400
    assert Guidelines.of([variant(se=4)]).g4 != Guidelines.of([plain()]).g4


@pytest.mark.parametrize("target", ["arm", "gpu"])
def test_costs_of_the_new_ops(target: str) -> None:
    model = load_table(target)
    assert isinstance(model, OpCostModel)
    fields: dict[str, Any] = {"c_in": 64, "c_out": 64, "height": 28, "width": 28}
    relu, add = (model.op_s(Op(kind=kind, **fields)) for kind in ("relu", "add"))
    assert model.op_s(Op(kind="batchnorm", **fields)) == relu
    assert relu < model.op_s(Op(kind="mul", **fields)) < add
    conv = Op(kind="conv", **fields)
    assert model.op_s(Op(kind="conv", **fields, act="sigmoid")) == pytest.approx(
        float(model.op_s(conv)) + float(relu)
    )
    assert model.op_s(Op(kind="conv", **fields, norm="bias")) == model.op_s(conv)


def test_the_gpu_synchronises_once_however_many_squeezes_there_are() -> None:
    blocks = [variant(se=4), variant(se=4), Block("classifier", 9, 7, c_in=16)]
    found = [amounts("gpu", op, 8).get("network", 0.0) for block in blocks for op in block.ops]
    assert sum(found) == 1


NEW_BLOCKS = [
    "shufflenet_v2_variant@9x7 c_in=16 c_out=16 branch=8 receptive=1 se=5",
    "shufflenet_v2_variant@9x7 c_in=16 c_out=16 branch=8 se_branch=5 residual=1",
    "shufflenet_v2_variant@9x7 c_in=8 c_out=16 branch=8 stride=2 se_branch=5 residual=1",
    "shufflenet_v1_wide@9x7 c_in=8 c_out=24 mid=12",
    "resnet_stem@19x30 c_out=8",
    "deep_stem@19x30 mid=4 c_out=8",
    "bottleneck@9x7 c_in=8 c_out=16 mid=4 inner=8 groups=4 stride=2 shortcut_kernel=3 se=2",
    "bottleneck@9x7 c_in=8 c_out=8 mid=4 stride=2 stride_first=1",
    "dense_layer@9x7 c_in=8 growth=3",
    "dense_transition@9x7 c_in=8 c_out=4",
    "dense_transition@8x1 c_in=8 c_out=4",
    "dense_classifier@9x7 c_in=8 classes=5",
    "inception@9x7 c_in=8 c1=2 reduce3=3 c3=4 reduce5=2 c5=3 pool=2",
    "repvgg@9x7 c_in=8 c_out=8",
    "repvgg_deployed@9x7 c_in=8 c_out=8 stride=2",
]


@pytest.mark.parametrize("text", NEW_BLOCKS)
def test_blocks_give_the_shape_they_say_and_onnx_the_values(text: str) -> None:
    block = Block.parse(text)
    assert str(block) == text
    module = NetworkModule(Network("one", (block,))).eval()
    for number, part in enumerate(module.modules()):
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.fill_(0.1 * (number % 3))
            part.running_var.fill_(1 + 0.1 * (number % 5))
            part.weight.data.fill_(0.7)
            part.bias.data.fill_(0.2)

    def weights(block: int, step: int, op: Op) -> tuple[np.ndarray, np.ndarray]:
        weight, bias = folded_weights(module, block, step)
        return weight.numpy(), bias.numpy()

    x = images(2, block.c_in, block.height, block.width)
    with torch.no_grad():
        y = module(x)
    assert y.shape == ((2, block.out_shape[0]) if y.ndim == 2 else (2, *block.out_shape))
    model = build_model([block], batch=2, weights=weights)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (got,) = session.run(None, {"input": x.numpy()})
    assert y.std() > 0
    torch.testing.assert_close(torch.from_numpy(got), y, rtol=1e-4, atol=1e-5)


def test_batches_of_zoo_units_cost_what_their_blocks_cost() -> None:
    width = np.array([16, 24, 40])
    fields = {"c_in": width, "c_out": width, "branch": width // 2, "se": width // 4}
    batch = BlockBatch("shufflenet_v2_variant", 9, 7, fields)
    for name in ("flops", "params", "mem_access"):
        many = sum(np.broadcast_to(getattr(s.op, name), 3) for s in batch.steps)
        for index in range(3):
            one = sum(getattr(op, name) for op in batch.block(index).ops)
            assert many[index] == one


def test_lone_batch_norms_fold_to_scale_and_shift() -> None:
    block = Block("dense_classifier", 3, 3, c_in=4, classes=2)
    module = NetworkModule(Network("one", (block,))).eval()
    norm = module.blocks[0].get_submodule("0.bn")
    assert isinstance(norm, nn.BatchNorm2d)
    norm.running_mean, norm.running_var = torch.arange(4.0), torch.arange(1.0, 5.0)
    norm.weight.data, norm.bias.data = torch.tensor([1.0, -2, 3, 4]), torch.tensor([1.0, 0, 2, 3])
    scale, shift = folded_weights(module, 0, 0)
    x = images(2, 4, 3, 3)
    expected = functional.relu(x * scale[:, None, None] + shift[:, None, None])
    torch.testing.assert_close(module.blocks[0].get_submodule("0")(x), expected)


def test_random_weights_have_a_scale_per_channel_of_lone_batch_norms() -> None:
    op = Op(kind="batchnorm", c_in=4, c_out=4, height=2, width=2)
    weight, bias = random_weights()(0, 0, op)
    assert weight.shape == bias.shape == (4,)
