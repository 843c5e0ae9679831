from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from latency.engines.testing import randomise_norms
from space.architectures.search_space import Architecture
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.block import Block
from space.network.network import Network, NetworkBuilder
from space.network.torch_module import (
    BlockModule,
    NetworkModule,
    build_module,
    folded_weights,
    shuffle,
)
from space.zoo.catalog import PAPER_NETWORKS
from space.zoo.families import mobilenet_v2, shufflenet_v1, shufflenet_v2
from tests.helpers.torch_modules import images

Samples = Callable[[int, int], list[Architecture]]


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def assert_counts_are_torchs(network: Network) -> None:
    """By torch's counter, which counts a multiply-add as two, on a real pass."""
    module = NetworkModule(network).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(images(1, *network.input_shape))
    assert counter.get_total_flops() == 2 * network.flops, network.name
    assert parameters(module) == network.params, network.name


@pytest.mark.parametrize("name", PAPER_NETWORKS)
def test_flops_and_parameters_of_table_8_by_torch(name: str) -> None:
    assert_counts_are_torchs(PAPER_NETWORKS[name]())


@pytest.mark.slow
def test_flops_and_parameters_of_random_architectures_by_torch(samples: Samples) -> None:
    """Four closed ones, four with every axis open."""
    space = ShuffleNetV2Space(height=64, width=48)
    for arch in samples(4, 0):
        assert_counts_are_torchs(space.lower(arch))


RELAXED = [
    "",
    "bottleneck=1/4",
    "groups=8",
    "fragments=4-parallel",
    "fragments=4-serial",
    "residual=1 extra_relu=1",
    "bottleneck=2 groups=4 fragments=2-serial residual=1 extra_relu=1",
]


@pytest.mark.parametrize("words", RELAXED)
def test_relaxed_axes_by_torch(words: str) -> None:
    """On a small input of uneven sides, run for real: output shape, FLOPs, parameters."""
    space = ShuffleNetV2Space(height=65, width=48, classes=7)
    text = "shufflenet_v2 stem=8 width=28,52,100 depth=2,3,2 split=1/4,3/8,3/4 kernel=3,5,7"
    network = space.lower(space.parse(f"{text} head=256 {words}"))
    module = build_module(network)
    assert parameters(module) == network.params
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        y = module(images(2, 3, 65, 48))
    assert y.shape == (2, 7)
    assert counter.get_total_flops() == 2 * 2 * network.flops
    assert torch.isfinite(y).all()


BLOCKS = [
    "conv@9x7 c_in=6 c_out=8 kernel=5 stride=2 groups=2",
    "pointwise_fragments@9x7 c_in=6 c_out=8 fragments=4",
    "pointwise_fragments@9x7 c_in=6 c_out=6 fragments=4 serial=1",
    "stem@19x30 c_out=8",
    "stem@19x30 c_in=1 c_out=8 pool=0 relu6=1",
    "head@5x3 c_in=8 c_out=12 classes=5",
    "classifier@5x3 c_in=8 classes=5",
    "shufflenet_v2@9x7 c_in=16 c_out=16 branch=6 kernel=5 residual=1",
    "shufflenet_v2@9x7 c_in=16 c_out=24 branch=10 stride=2 fragments=2 serial=1",
    "shufflenet_v1@9x7 c_in=24 c_out=24",
    "shufflenet_v1@9x7 c_in=24 c_out=48 stride=2",
    "separable@9x7 c_in=6 c_out=8 kernel=7 stride=2",
    "inverted_residual@9x7 c_in=6 c_out=6 residual=1",
    "inverted_residual@9x7 c_in=6 c_out=8 expansion=1 stride=2",
]


@pytest.mark.parametrize("text", BLOCKS)
def test_blocks_give_the_shape_they_say(text: str) -> None:
    block = Block.parse(text)
    y = BlockModule(block).eval()(images(2, block.c_in, block.height, block.width))
    expected = (2, block.out_shape[0]) if y.ndim == 2 else (2, *block.out_shape)
    assert y.shape == expected


def test_shuffle_by_hand() -> None:
    x = torch.arange(6.0)[None, :, None, None]
    assert shuffle(x, 2).flatten().tolist() == [0, 3, 1, 4, 2, 5]
    assert shuffle(x, 3).flatten().tolist() == [0, 2, 4, 1, 3, 5]
    assert shuffle(x, 6).flatten().tolist() == shuffle(x, 1).flatten().tolist() == list(range(6))


def test_passing_channels_of_a_v2_unit_come_out_at_even_places() -> None:
    """With an even split the untouched half is interleaved with the branch."""
    block = Block.parse("shufflenet_v2@5x5 c_in=8 c_out=8 branch=4")
    x = images(1, 8, 5, 5)
    y = BlockModule(block).eval()(x)
    assert torch.equal(y[:, 0::2], x[:, :4])


def test_a_v2_unit_by_hand() -> None:
    """An uneven split with residual and ReLU, written out in torch's functions."""
    block = Block.parse(
        "shufflenet_v2@6x5 c_in=8 c_out=8 branch=6 kernel=5 residual=1 extra_relu=1"
    )
    module = randomise_norms(BlockModule(block))

    def layer(x: Tensor, index: int, **options: Any) -> Tensor:
        part = module.get_submodule(str(index))
        conv, bn = part.get_submodule("conv"), part.get_submodule("bn")
        x = functional.conv2d(x, conv.weight, **options)
        assert isinstance(bn, nn.BatchNorm2d)
        return functional.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias)

    x = images(2, 8, 6, 5)
    y = torch.relu(layer(x[:, 2:], 2))
    y = torch.relu(layer(layer(y, 3, padding=2, groups=6), 4)) + x[:, 2:]
    y = torch.relu(torch.cat((x[:, :2], y), 1)[:, [0, 4, 1, 5, 2, 6, 3, 7]])
    torch.testing.assert_close(module(x), y)


def test_relu6_is_cut_at_6() -> None:
    block = Block.parse("stem@8x8 c_out=4 pool=0 relu6=1")
    y = BlockModule(block).eval()(100 * images(1, 3, 8, 8))
    assert (y.min().item(), y.max().item()) == (0, 6)
    block = Block.parse("stem@8x8 c_out=4 pool=0")
    y = BlockModule(block).eval()(100 * images(1, 3, 8, 8))
    assert y.min().item() == 0
    assert y.max().item() > 6


def weights_bytes(module: nn.Module) -> bytes:
    return b"".join(value.numpy().tobytes() for value in module.state_dict().values())


def test_one_seed_gives_the_same_weights() -> None:
    network = shufflenet_v2("0.5")
    first = weights_bytes(build_module(network, seed=3))
    torch.rand(5)
    assert weights_bytes(build_module(network, seed=3)) == first
    assert weights_bytes(build_module(network, seed=4)) != first
    assert weights_bytes(build_module(network)) == weights_bytes(build_module(network, seed=0))


def test_build_leaves_torchs_generators_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the processor keeps its state; those of GPUs are not even asked."""

    def refuse(seed: int) -> None:
        raise AssertionError(f"GPUs seeded with {seed}")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", refuse)
    before = torch.get_rng_state()
    build_module(shufflenet_v2("0.5"), seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)
    assert not torch.equal(torch.get_rng_state(), before)


def test_build_initialises_as_it_says() -> None:
    """Kaiming normal, fan out: variance 2 / (c_out k k / groups); classifier N(0, 0.01)."""
    module = build_module(shufflenet_v2("1.0"))
    assert not module.training
    for name, part in module.named_modules():
        if isinstance(part, nn.Conv2d) and part.weight.numel() > 2000:
            fan_out = part.out_channels * part.kernel_size[0] ** 2  # torch's, groups not divided
            expected = (2 / fan_out) ** 0.5
            assert part.weight.std().item() == pytest.approx(expected, rel=0.1), name
        elif isinstance(part, nn.Linear):
            assert part.weight.std().item() == pytest.approx(0.01, rel=0.01)
            assert part.bias.abs().max().item() == 0


@pytest.mark.parametrize("make", [shufflenet_v2, shufflenet_v1, mobilenet_v2])
def test_odd_input_and_a_batch(make: Callable[..., Network]) -> None:
    """Height and width are not swapped anywhere, and rows of a batch do not meet in eval mode."""
    network = make(0.4 if make is mobilenet_v2 else "0.5", 75, 53)
    module = randomise_norms(build_module(network))
    x = images(8, 3, 75, 53)
    with torch.no_grad():
        y = module(x)
        assert y.shape == (8, 1000)
        torch.testing.assert_close(module(x[2:3]), y[2:3], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_space_of_odd_input_and_ten_classes() -> None:
    space = ShuffleNetV2Space(height=225, width=161, classes=10)
    network = space.lower(space.point((48, 96, 192)))
    module = build_module(network)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        y = module(images(8, 3, 225, 161))
    assert y.shape == (8, 10)
    assert counter.get_total_flops() == 2 * 8 * network.flops
    assert parameters(module) == network.params


def test_folded_weights_are_convolution_and_batch_norm_in_one() -> None:
    """Every layer of a small network with dense, grouped, depthwise and linear layers."""
    chain = NetworkBuilder("folded", 33, 31)
    chain.add("stem", c_out=12)
    chain.add("shufflenet_v1", c_out=48, stride=2)
    chain.add("shufflenet_v2", c_out=48, branch=18, kernel=5)
    chain.add("head", c_out=24, classes=5)
    network = chain.network()
    module = randomise_norms(build_module(network))
    assert isinstance(module, NetworkModule)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_var.mul_(1e-3)  # near epsilon, which must not be lost
    seen = []
    for number, block in enumerate(network.blocks):
        for index, step in enumerate(block.steps):
            op = step.op
            if op.kind not in ("conv", "dwconv", "linear"):
                continue
            weight, bias = folded_weights(module, number, index)
            assert not weight.requires_grad
            assert not bias.requires_grad
            layer = module.blocks[number].get_submodule(str(index))
            seen.append((op.kind, op.groups))
            if op.kind == "linear":
                x = images(2, int(op.c_in), 1, 1)
                y = functional.linear(x.flatten(1), weight, bias)
                expected = layer(x)
            else:
                x = images(2, int(op.c_in), 6, 5)
                groups = op.c_in if op.kind == "dwconv" else op.groups
                y = functional.conv2d(
                    x, weight, bias, op.stride, padding=op.kernel // 2, groups=groups
                )
                y = functional.relu(y) if op.act else y
                expected = layer(x)
            torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    assert {("conv", 1), ("conv", 3), ("dwconv", 1), ("linear", 1)} <= set(seen)


def test_folded_weights_leave_the_module_alone() -> None:
    module = build_module(shufflenet_v2("0.5"))
    before = weights_bytes(module)
    weight, bias = folded_weights(module, 0, 0)
    weight.zero_()
    bias.zero_()
    assert weights_bytes(module) == before


def test_gradients_reach_every_weight() -> None:
    space = ShuffleNetV2Space(height=65, width=64, classes=3)
    network = space.lower(space.point((24, 48, 96), (2, 2, 2), head=256))
    module = build_module(network).train()
    module(images(4, 3, 65, 64)).square().sum().backward()
    for name, weight in module.named_parameters():
        assert weight.grad is not None, name
        assert np.isfinite(weight.grad.abs().sum().item()), name
        assert weight.grad.abs().sum() > 0, name
