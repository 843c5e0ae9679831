"""The zoo's networks as torch modules: counts, outputs, ONNX, RepVGG's fusion."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import onnxruntime
import pytest
import torch
import torchvision.models
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from latency.engines.onnx.writer import build_model
from latency.engines.testing import randomise_norms
from space.graph.op import Op
from space.network.network import Network, NetworkBuilder
from space.network.torch_module import NetworkModule, build_module, folded_weights, reparameterised
from space.zoo import catalog as zoo
from space.zoo.families import mobilenet_v2, shufflenet_v2
from space.zoo.networks import inception_3a, repvgg_a0, resnet_50
from tests.helpers.peers import OTHER_SIZES
from tests.helpers.torch_modules import images

NAMES = tuple(zoo.known_networks())
IMAGES = tuple(name for name in NAMES if "inception" not in name)
LARGE = ("SENet-154", "SE-ShuffleNet v2-164")
SLOW = (*LARGE, *OTHER_SIZES)


def marked_slow(names: tuple[str, ...]) -> list[object]:
    marks = dict.fromkeys(SLOW, (pytest.mark.slow,))
    return [pytest.param(name, marks=marks.get(name, ()), id=name) for name in names]


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def counted(module: nn.Module, *shape: int) -> tuple[int, int, torch.Size]:
    """Multiply-adds by torch's counter, parameters, and the shape of the output."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        y = module.eval()(torch.empty(1, *shape, device="meta"))
    return counter.get_total_flops() // 2, parameters(module), y.shape


@pytest.mark.parametrize("name", marked_slow(NAMES))
def test_counts_by_torch(name: str) -> None:
    """Shapes alone, on the meta device, so that the largest are quick too."""
    network = zoo.published_network(name).network()
    with torch.device("meta"):
        module = NetworkModule(network)
    flops, params, shape = counted(module, *network.input_shape)
    assert (flops, params) == (network.flops, network.params)
    classes = 1000 if name in IMAGES else 256
    assert shape[:2] == (1, classes)


THEIRS: dict[str, Callable[[], nn.Module]] = {
    "MobileNet v2 1.0": torchvision.models.mobilenet_v2,
    "MobileNet v2 1.4": partial(torchvision.models.mobilenet_v2, width_mult=1.4),
    "ResNet-50 v1.5": torchvision.models.resnet50,
    "ShuffleNet v2 0.5x": torchvision.models.shufflenet_v2_x0_5,
    "ShuffleNet v2 1.0x": torchvision.models.shufflenet_v2_x1_0,
    "ShuffleNet v2 1.5x": torchvision.models.shufflenet_v2_x1_5,
    "ShuffleNet v2 2.0x": torchvision.models.shufflenet_v2_x2_0,
}


def googlenet() -> nn.Module:
    return torchvision.models.googlenet(init_weights=False, aux_logits=False)


@pytest.mark.parametrize("name", THEIRS)
def test_counts_are_torchvisions(name: str) -> None:
    network = zoo.published_network(name).network()
    with torch.device("meta"):
        theirs = THEIRS[name]()
    assert counted(theirs, 3, 224, 224)[:2] == (network.flops, network.params)


def test_counts_of_googlenets_module_are_torchvisions() -> None:
    network = zoo.published_network("GoogLeNet inception 3a (torchvision)").network()
    with torch.device("meta"):
        theirs = googlenet().inception3a
    assert counted(theirs, 192, 28, 28)[:2] == (network.flops, network.params)


def test_densenet_blocks_are_those_of_densenet_121() -> None:
    """The units of the small networks, stacked as in torchvision's DenseNet-121."""
    network = densenet_121(224)
    with torch.device("meta"):
        theirs = torchvision.models.densenet121()
    assert counted(theirs, 3, 224, 224)[:2] == (network.flops, network.params)


def densenet_121(side: int) -> Network:
    chain = NetworkBuilder("DenseNet-121", side, side)
    chain.add("resnet_stem", c_out=64)
    for stage, depth in enumerate((6, 12, 24, 16)):
        if stage:
            chain.add("dense_transition", c_out=chain.shape[0] // 2)
        for _ in range(depth):
            chain.add("dense_layer", growth=32)
    chain.add("dense_classifier")
    return chain.network()


def copied(ours: nn.Module, theirs: nn.Module) -> None:
    """Give `ours` the tensors of `theirs`: both have their layers in the same order."""
    source, target = theirs.state_dict(), ours.state_dict()
    assert [v.shape for v in source.values()] == [v.shape for v in target.values()]
    ours.load_state_dict(dict(zip(target, source.values(), strict=True)))
    norms = [
        [m for m in each.modules() if isinstance(m, nn.BatchNorm2d)] for each in (ours, theirs)
    ]
    for mine, other in zip(*norms, strict=True):
        mine.eps = other.eps  # GoogLeNet's is TensorFlow's


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return randomise_norms(make())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "make"),
    [
        (resnet_50(64, 96, stride_first=0), torchvision.models.resnet50),
        (densenet_121(64), torchvision.models.densenet121),
        (mobilenet_v2(1.0, 64, 96), torchvision.models.mobilenet_v2),
        (inception_3a(9, 7, kernel5=3), lambda: googlenet().inception3a),
    ],
    ids=["resnet50", "densenet121", "mobilenet_v2", "inception3a"],
)
def test_outputs_are_torchvisions(network: Network, make: Callable[[], nn.Module]) -> None:
    theirs, ours = seeded(make), NetworkModule(network).eval()
    copied(ours, theirs)
    x = images(2, *network.input_shape)
    with torch.no_grad():
        expected = theirs(x)
        assert expected.std() > 1e-3
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", marked_slow(IMAGES))
def test_modules_run(name: str) -> None:
    """On a small input with sides that differ: finite logits that depend on the image."""
    network = zoo.published_network(name).network(64, 40)
    module = build_module(network)
    with torch.inference_mode():
        y = module(images(2, 3, 64, 40))
    assert y.shape == (2, 1000)
    assert torch.isfinite(y).all()
    assert (y[0] - y[1]).abs().max() > 0


def onnx_difference(network: Network) -> float:
    """Largest difference of ONNX Runtime's output from torch's, relative to the largest."""
    module = randomise_norms(build_module(network))
    assert isinstance(module, NetworkModule)

    def weights(block: int, step: int, op: Op) -> tuple[np.ndarray, np.ndarray]:
        weight, bias = folded_weights(module, block, step)
        return weight.numpy(), bias.numpy()

    model = build_model(network.blocks, batch=2, weights=weights)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    x = images(2, *network.input_shape)
    with torch.inference_mode():
        expected = module(x).numpy()
    (got,) = session.run(None, {"input": x.numpy()})
    assert got.shape == expected.shape
    assert np.abs(expected - expected[:1]).max() > 0
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(
    "name",
    [
        "ShuffleNet v2 2.0x with SE",
        "ShuffleNet v2* 0.5x",
        "ShuffleNet v1-50 g=3",
        "Xception 0.5x",
        "DenseNet 0.5x",
        "ResNet-50",
        "RepVGG-A0",
        "RepVGG-A0 deployed",
        *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE),
    ],
)
def test_onnx_agrees(name: str) -> None:
    assert onnx_difference(zoo.published_network(name).network(64, 96)) < 1e-5


def test_onnx_agrees_on_googlenets_module() -> None:
    assert onnx_difference(inception_3a(9, 8)) < 1e-5


def test_onnx_agrees_on_sides_that_do_not_halve() -> None:
    """The 2x2 average pools of DenseNet cut off windows at the far edge."""
    assert onnx_difference(zoo.published_network("DenseNet 0.5x").network(75, 53)) < 1e-5


# RepVGG


def test_repvgg_fuses_into_the_deployed_network() -> None:
    module = randomise_norms(build_module(repvgg_a0(64, 96)))
    assert isinstance(module, NetworkModule)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    deployed = reparameterised(module)
    assert deployed.network.blocks == repvgg_a0(64, 96, deployed=1).blocks
    assert deployed.network.name == "RepVGG-A0 deployed"
    x = images(2, 3, 64, 96)
    with torch.no_grad():
        expected, got = module(x), deployed(x)
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    assert (got - expected).abs().max() < 1e-5 * expected.abs().max()
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_fusing_one_unit_by_hand() -> None:
    """The identity becomes ones in the middle: batch norms of mean 0, variance 1."""
    chain = NetworkBuilder("one", 5, 5, channels=4)
    chain.add("repvgg", c_out=4)
    module = build_module(chain.network())
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.zeros_(part.weight)
    conv = reparameterised(module).blocks[0].get_submodule("0.conv")
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    middle = torch.eye(4) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(conv.weight[:, :, 1, 1], middle)
    assert conv.weight.abs().sum() == middle.sum()
    assert conv.bias.abs().sum() == 0


def test_networks_without_repvgg_units_are_copied() -> None:
    module = build_module(shufflenet_v2("0.5", 32, 32))
    x = images(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(reparameterised(module)(x), module(x))
