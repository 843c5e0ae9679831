"""The networks off the shelf as timm and torchvision build them, and how to copy their weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import timm
import torch
import torchvision.models
from timm.utils import reparameterize_model
from torch import Tensor, nn

LEAVES = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
Make = Callable[[], nn.Module]


def fused(name: str) -> nn.Module:
    """A model of timm with its parallel branches fused."""
    return reparameterize_model(timm.create_model(name).eval())


def of_timm(name: str) -> Make:
    return partial(timm.create_model, name)


PEERS: dict[str, tuple[Make, ...]] = {
    "MobileNetV3 small 0.75": (of_timm("mobilenetv3_small_075"),),
    "MobileNetV3 small 1.0": (
        of_timm("mobilenetv3_small_100"),
        torchvision.models.mobilenet_v3_small,
    ),
    "MobileNetV3 large 0.75": (of_timm("mobilenetv3_large_075"),),
    "MobileNetV3 large 1.0": (
        of_timm("mobilenetv3_large_100"),
        torchvision.models.mobilenet_v3_large,
    ),
    "MobileNetV4-Conv-S": (of_timm("mobilenetv4_conv_small"),),
    "PP-LCNet 0.35": (of_timm("lcnet_035"),),
    "PP-LCNet 0.5": (of_timm("lcnet_050"),),
    "PP-LCNet 0.75": (of_timm("lcnet_075"),),
    "PP-LCNet 1.0": (of_timm("lcnet_100"),),
    "RepGhost 0.5x": (partial(fused, "repghostnet_050"),),
    "RepGhost 0.58x": (partial(fused, "repghostnet_058"),),
    "RepGhost 0.8x": (partial(fused, "repghostnet_080"),),
    "RepGhost 1.0x": (partial(fused, "repghostnet_100"),),
    "RepGhost 1.11x": (partial(fused, "repghostnet_111"),),
    "RepGhost 1.3x": (partial(fused, "repghostnet_130"),),
    "RepGhost 1.5x": (partial(fused, "repghostnet_150"),),
    "RepGhost 2.0x": (partial(fused, "repghostnet_200"),),
    "GhostNet 1.0x": (of_timm("ghostnet_100"),),
    "MobileOne-S0": (partial(fused, "mobileone_s0"),),
    "MnasNet 0.5": (torchvision.models.mnasnet0_5, of_timm("mnasnet_050")),
    "MnasNet 1.0": (torchvision.models.mnasnet1_0, of_timm("mnasnet_100")),
    "EfficientNet-Lite0": (of_timm("efficientnet_lite0"),),
    "EfficientNet-B0": (torchvision.models.efficientnet_b0, of_timm("efficientnet_b0")),
    "RegNetX-200MF": (of_timm("regnetx_002"),),
    "RegNetX-400MF": (of_timm("regnetx_004"),),
    "RegNetY-200MF": (of_timm("regnety_002"),),
    "RegNetY-400MF": (of_timm("regnety_004"), torchvision.models.regnet_y_400mf),
    "FBNet-C": (of_timm("fbnetc_100"),),
    "SqueezeNet 1.1": (torchvision.models.squeezenet1_1,),
    "ResNet-18": (torchvision.models.resnet18,),
}


def scattered(model: nn.Module) -> nn.Module:
    """The model with seeded weights that neither let activations vanish nor overflow, so that the
    outputs depend on the images. (Those that models start from do not, in many.)"""
    generator = torch.Generator().manual_seed(1)
    for part in model.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            fan_in = part.weight[0].numel()
            part.weight.data.normal_(0, (3 / fan_in) ** 0.5, generator=generator)
            if part.bias is not None:
                part.bias.data.uniform_(-0.5, 0.5, generator=generator)
    return model


# Other sizes of networks of which one or two are compared in every run.
OTHER_SIZES = tuple(
    name
    for name in PEERS
    if name.startswith(("RepGhost", "PP-LCNet")) and name not in ("RepGhost 0.5x", "PP-LCNet 0.75")
)


def layers_in_order(module: nn.Module, x: Tensor) -> list[nn.Module]:
    """Convolutions, linear layers and batch norms in the order in which they run on `x`."""
    found: list[nn.Module] = []
    handles = [
        part.register_forward_hook(lambda layer, _inputs, _out: found.append(layer))
        for part in module.modules()
        if isinstance(part, LEAVES)
    ]
    with torch.no_grad():
        module(x)
    for handle in handles:
        handle.remove()
    return found


def copy_in_order(ours: nn.Module, theirs: nn.Module, x: Tensor) -> None:
    """Give each layer of `ours` the tensors of the layer of `theirs` that runs at its place. A 1x1
    convolution of one position is a linear layer; a batch norm gets the epsilon too."""
    for mine, other in zip(layers_in_order(ours, x), layers_in_order(theirs, x), strict=True):
        norm = isinstance(other, nn.BatchNorm2d)
        assert isinstance(mine, nn.BatchNorm2d) == norm
        if isinstance(mine, nn.BatchNorm2d) and isinstance(other, nn.BatchNorm2d):
            mine.eps = other.eps
        source, target = other.state_dict(), mine.state_dict()
        assert source.keys() == target.keys(), (mine, other)
        mine.load_state_dict({name: source[name].view_as(target[name]) for name in target})
