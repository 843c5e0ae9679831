"""Our ShuffleNet v2 with torchvision's weights gives torchvision's outputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision.models
from torch import Tensor, nn

from latency.engines.testing import randomise_norms
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.network import NetworkBuilder
from space.network.torch_module import (
    NetworkModule,
    build_module,
    load_torchvision_weights,
    torchvision_keys,
)
from space.zoo.families import SHUFFLENET_V2, shufflenet_v1, shufflenet_v2
from tests.helpers.torch_modules import images


def torchvisions(size: str, **options: Any) -> nn.Module:
    """torchvision's network; it seeds itself from torch's global generator, which is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(5)
        return getattr(torchvision.models, f"shufflenet_v2_x{size.replace('.', '_')}")(**options)


def assert_same_outputs(ours: nn.Module, reference: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        a, b = ours(x), reference(x)
    assert b.std() > 0.01  # not all alike
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "size", [pytest.param(size, marks=pytest.mark.slow) for size in SHUFFLENET_V2]
)
def test_outputs_are_those_of_torchvision(size: str) -> None:
    reference = randomise_norms(torchvisions(size))
    network = shufflenet_v2(size)
    ours = build_module(network)
    load_torchvision_weights(ours, reference.state_dict())
    assert_same_outputs(ours, reference, images(2, 3, 224, 224))


def test_outputs_are_those_of_torchvision_on_a_small_input() -> None:
    """Neither square nor even sides, 10 classes, a batch of 8."""
    reference = randomise_norms(torchvisions("0.5", num_classes=10))
    builder = NetworkBuilder("small", 97, 65)
    for block in shufflenet_v2("0.5").blocks[:-1]:
        fields = dict(block.fields)
        builder.add(block.kind, **{name: fields[name] for name in fields if name != "c_in"})
    builder.add("head", c_out=1024, classes=10)
    network = builder.network()
    ours = build_module(network)
    load_torchvision_weights(ours, reference.state_dict())
    assert_same_outputs(ours, reference, images(8, 3, 97, 65))


def test_torchvision_keys_pair_every_tensor_once() -> None:
    network = shufflenet_v2("0.5")
    pairs = torchvision_keys(network)
    assert pairs["blocks.0.0.conv"] == "conv1.0"
    assert pairs["blocks.0.0.bn"] == "conv1.1"
    with torch.device("meta"):
        ours, reference = NetworkModule(network), torchvisions("0.5")
    assert {key.rpartition(".")[0] for key in ours.state_dict()} == set(pairs)
    assert {key.rpartition(".")[0] for key in reference.state_dict()} == set(pairs.values())
    assert len(set(pairs.values())) == len(pairs)


def test_torchvision_keys_refuse_other_networks() -> None:
    with pytest.raises(ValueError, match="torchvision's ShuffleNet v2 has no shufflenet_v1 block"):
        torchvision_keys(shufflenet_v1("0.5"))
    space = ShuffleNetV2Space()
    text = space.text(space.point((116, 232, 464)))
    with pytest.raises(ValueError, match=r"torchvision has no unit like .*fragments=2"):
        torchvision_keys(space.lower(space.parse(f"{text} fragments=2-parallel")))
    with pytest.raises(ValueError, match=r"no layer of .* matches torchvision's 'extra\.weight'"):
        load_torchvision_weights(
            build_module(shufflenet_v2("0.5")), {"extra.weight": torch.zeros(1)}
        )
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict"):
        load_torchvision_weights(build_module(shufflenet_v2("0.5")), {})
