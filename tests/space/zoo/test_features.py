"""Multi-scale features of the zoo's networks, as detection code takes them."""

from __future__ import annotations

import warnings
from collections import OrderedDict

import pytest
import torch
from torch import Tensor
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.ops import FeaturePyramidNetwork

from space.network.network import feature_layers
from space.network.torch_module import build_module
from space.zoo import catalog as zoo
from space.zoo.families import shufflenet_v2
from space.zoo.networks import inception_3a
from space.zoo.residual import squeezenet_11

LACKING = ("inception", "SqueezeNet")  # a part of a network; a network without stride 32
IMAGES = tuple(name for name in zoo.known_networks() if not any(word in name for word in LACKING))


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", IMAGES)
def test_feature_layers_have_the_strides_they_say(name: str) -> None:
    network = zoo.published_network(name).network(96, 160)
    layers = feature_layers(network)
    assert list(layers.values()) == ["4", "8", "16", "32"]
    for layer, stride in layers.items():
        index = int(layer.removeprefix("blocks."))
        _, height, width = network.blocks[index].out_shape
        assert (height, width) == (96 // int(stride), 160 // int(stride))
        after = network.blocks[index + 1]
        ends = after.ops[-1].kind == "linear"
        assert ends or after.out_shape[1:] < (height, width), "not the last of its stride"


def test_feature_layers_of_shufflenet_v2() -> None:
    layers = feature_layers(shufflenet_v2("1.0"))
    assert layers == {"blocks.0": "4", "blocks.4": "8", "blocks.12": "16", "blocks.16": "32"}


def test_networks_without_such_features_say_so() -> None:
    with pytest.raises(ValueError, match=r"inception 3a has no feature maps of stride 4, 8, 16"):
        feature_layers(inception_3a())
    with pytest.raises(ValueError, match=r"SqueezeNet 1.1 has no feature maps of stride 32"):
        feature_layers(squeezenet_11())
    with pytest.raises(ValueError, match="need an input of 32x32 at least; got 31x64"):
        feature_layers(shufflenet_v2("0.5", 31, 64))


PYRAMIDS = (
    "ShuffleNet v2 0.5x",
    "ShuffleNet v2* 0.5x",
    "ShuffleNet v2 2.0x with SE",
    "ShuffleNet v1 0.5x g=3",
    "Xception 0.5x",
    "MobileNet v2 0.15",
    "MobileNet v1 0.25",
    "DenseNet 0.5x",
    "RepVGG-A0",
    "MobileNetV3 small 0.75",
    "MobileNetV4-Conv-S",
    "GhostNet 1.0x",
    "EfficientNet-B0",
    "RegNetY-200MF",
)


@pytest.mark.parametrize("name", PYRAMIDS)
def test_feature_pyramids_stand_on_the_modules(name: str) -> None:
    """By both of torchvision's ways, which agree with each other and with the module."""
    network = zoo.published_network(name).network(64, 96)
    module, layers = build_module(network), feature_layers(network)
    x = images(1, 3, 64, 96)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of torchvision, about its own tracing
        extractor = create_feature_extractor(module, layers)
    children = {name.removeprefix("blocks."): stride for name, stride in layers.items()}
    getter = IntermediateLayerGetter(module.blocks, children)
    channels = [network.blocks[int(index)].out_shape[0] for index in children]
    pyramid = FeaturePyramidNetwork(channels, 16).eval()
    with torch.no_grad():
        features, others = extractor(x), getter(x)
        maps = pyramid(OrderedDict(features))
    assert list(features) == list(others) == list(maps) == ["4", "8", "16", "32"]
    for stride in features:
        torch.testing.assert_close(features[stride], others[stride])
        size = (64 // int(stride), 96 // int(stride))
        assert maps[stride].shape == (1, 16, *size)
    rest = module.blocks[int(list(children)[-1]) + 1 :]
    with torch.no_grad():
        torch.testing.assert_close(rest(features["32"]), module(x))


def test_features_of_larger_images_than_the_network_was_built_for() -> None:
    """Detection code feeds images of any size: the modules hold no sizes."""
    module, layers = build_module(shufflenet_v2("0.5")), feature_layers(shufflenet_v2("0.5"))
    children = {name.removeprefix("blocks."): stride for name, stride in layers.items()}
    with torch.no_grad():
        features = IntermediateLayerGetter(module.blocks, children)(images(1, 3, 96, 320))
    assert [tuple(each.shape[2:]) for each in features.values()] == [
        (24, 80),
        (12, 40),
        (6, 20),
        (3, 10),
    ]
