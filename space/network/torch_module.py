"""The torch module of a network, built from the same blocks as every cost.

Module names follow the lowering: `blocks.{block}.{step}` has `conv` and `bn`, or `linear`, or `bn`
of that step. `torchvision_keys` maps the weights of torchvision's ShuffleNet v2 to these names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from space.graph.op import Op
from space.network.block import Block
from space.network.network import Network

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda x: x,
    "relu": functional.relu,
    "relu6": functional.relu6,
    "sigmoid": torch.sigmoid,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "silu": functional.silu,
}


class ConvNorm(nn.Module):
    """Convolution, batch norm (or a bias, or nothing), activation; input [n, c_in, h, w].

    An op of kind "batchnorm" has no convolution."""

    def __init__(self, op: Op) -> None:
        super().__init__()
        self.conv: nn.Module = nn.Identity()
        if op.kind != "batchnorm":
            groups = op.c_in if op.kind == "dwconv" else op.groups
            padding = 0 if op.valid else op.kernel // 2
            fields = {"padding": padding, "groups": groups, "bias": op.norm == "bias"}
            self.conv = nn.Conv2d(op.c_in, op.c_out, op.kernel, op.stride, **fields)
        self.bn = nn.BatchNorm2d(op.c_out) if op.norm == "batch" else nn.Identity()
        self.act = op.act

    def forward(self, x: Tensor) -> Tensor:
        return _ACTIVATIONS[self.act](self.bn(self.conv(x)))


class Classifier(nn.Module):
    """Fully connected layer on [n, c, 1, 1] or [n, c], activation; returns [n, c_out]."""

    def __init__(self, op: Op) -> None:
        super().__init__()
        self.linear = nn.Linear(op.c_in, op.c_out)
        self.act = op.act

    def forward(self, x: Tensor) -> Tensor:
        return _ACTIVATIONS[self.act](self.linear(x.flatten(1)))


_LAYERS: dict[str, Callable[[Op], nn.Module]] = {
    "conv": ConvNorm,
    "dwconv": ConvNorm,
    "batchnorm": ConvNorm,
    "linear": Classifier,
}


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Channel shuffle (ShuffleNet v1 paper, section 3.1): [n, g, c / g] becomes [n, c / g, g]."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def _concat(groups: int, *values: Tensor) -> Tensor:
    joined = torch.cat(values, dim=1)
    return shuffle(joined, groups) if groups > 1 else joined


def _function(op: Op) -> Callable[..., Tensor]:
    """The computation of an op without weights."""
    groups = cast(int, op.groups)
    window: dict[str, Any] = {
        "kernel_size": op.kernel,
        "stride": op.stride,
        "padding": 0 if op.valid else (op.kernel - 1) // 2,
    }
    functions: dict[str, Callable[..., Tensor]] = {
        "maxpool": partial(functional.max_pool2d, **window, ceil_mode=bool(op.valid)),
        "avgpool": partial(functional.avg_pool2d, **window, ceil_mode=op.kernel % 2 == 0),
        "globalpool": lambda x: x.mean((2, 3), keepdim=True),
        "slice": lambda x: x[:, op.start : op.start + op.c_out],
        "flatten": lambda x: x.flatten(1),
        "concat": partial(_concat, groups),
        "shuffle": lambda x: shuffle(x, groups),
        "add": torch.add,
        "mul": lambda x, scale: x * scale.flatten(1)[:, :, None, None],
        "relu": functional.relu,
    }
    return functions[op.kind]


class BlockModule(nn.Module):
    """A block: runs its steps in order. Input [n, c_in, h, w], output [n, *block.out_shape]."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block
        self._functions: dict[int, Callable[..., Tensor]] = {}
        for index, step in enumerate(block.steps):
            if step.op.kind in _LAYERS:
                self.add_module(str(index), _LAYERS[step.op.kind](step.op))
            else:
                self._functions[index] = _function(step.op)

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for index, step in enumerate(self.block.steps):
            run = self._functions.get(index) or self.get_submodule(str(index))
            values.append(run(*(values[value] for value in step.inputs)))
        return values[-1]


class NetworkModule(nn.Module):
    """A network: input [n, 3, height, width], output [n, classes] (logits)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.blocks = nn.Sequential(*(BlockModule(block) for block in network.blocks))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


def build_module(network: Network, seed: int = 0) -> NetworkModule:
    """The torch module of a network, in eval mode: [n, 3, height, width] -> [n, classes].

    Weights are Kaiming normal (fan out) for convolutions and N(0, 0.01) for the classifier, as in
    torchvision's mobile networks. They depend on `seed` only; the state of torch's generators does
    not change.

    Example:
        >>> import torch
        >>> from space import build_module, published_network
        >>> module = build_module(published_network("ShuffleNet v2 0.5x").network(32, 32), seed=1)
        >>> module(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 1000])
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed reseeds GPUs too
        module = NetworkModule(network)
        for part in module.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
            elif isinstance(part, nn.Linear):
                nn.init.normal_(part.weight, std=0.01)
                nn.init.zeros_(part.bias)
    return module.eval()


def torchvision_keys(network: Network) -> dict[str, str]:
    """Our module prefix -> torchvision's, for a ShuffleNet v2 of the paper's shape.

    torchvision names the stem `conv1.0/1`, the units `stage{2,3,4}.{i}.branch1` (projection:
    depthwise 0/1, 1x1 2/3) and `.branch2` (1x1 0/1, depthwise 3/4, 1x1 5/6), the last convolution
    `conv5.0/1` and the classifier `fc`; the pairs are convolution and batch norm.

    Raises:
        ValueError: the network has other units than torchvision's.
    """
    pairs: dict[str, str] = {}
    stage, unit = 1, 0
    for number, block in enumerate(network.blocks):
        convs = [i for i, step in enumerate(block.steps) if step.op.kind in ("conv", "dwconv")]
        linears = [i for i, step in enumerate(block.steps) if step.op.kind == "linear"]
        if block.kind == "shufflenet_v2":
            strided = block["stride"] == 2
            stage, unit = (stage + 1, 0) if strided else (stage, unit + 1)
            names = [("branch1", 0), ("branch1", 2)] if strided else []
            names += [("branch2", 0), ("branch2", 3), ("branch2", 5)]
            keys = [(f"stage{stage}.{unit}.{branch}", layer) for branch, layer in names]
        elif block.kind in ("stem", "head"):
            keys = [("conv1" if block.kind == "stem" else "conv5", 0)]
        else:
            raise ValueError(f"torchvision's ShuffleNet v2 has no {block.kind} block")
        if len(convs) != len(keys):
            raise ValueError(f"torchvision has no unit like {block}")
        for index, (key, layer) in zip(convs, keys, strict=True):
            pairs[f"blocks.{number}.{index}.conv"] = f"{key}.{layer}"
            pairs[f"blocks.{number}.{index}.bn"] = f"{key}.{layer + 1}"
        pairs |= {f"blocks.{number}.{index}.linear": "fc" for index in linears}
    return pairs


def load_torchvision_weights(module: NetworkModule, state: Mapping[str, Tensor]) -> None:
    """Load the weights of torchvision's ShuffleNet v2 into a module of the same shape.

    Args:
        state: the `state_dict()` of a model of `torchvision.models.shufflenetv2`.

    Raises:
        ValueError: the network is no ShuffleNet v2, or a tensor of `state` has no layer in it.
        RuntimeError: `state` lacks a tensor, or one has another shape.

    Example:
        >>> from torchvision.models import shufflenet_v2_x0_5
        >>> from space import build_module, load_torchvision_weights, published_network
        >>> module = build_module(published_network("ShuffleNet v2 0.5x").network())
        >>> load_torchvision_weights(module, shufflenet_v2_x0_5(weights=None).state_dict())
    """
    prefixes = {key: prefix for prefix, key in torchvision_keys(module.network).items()}
    renamed = {}
    for key, value in state.items():
        prefix, _, leaf = key.rpartition(".")
        if prefix not in prefixes:
            raise ValueError(f"no layer of {module.network.name} matches torchvision's {key!r}")
        renamed[f"{prefixes[prefix]}.{leaf}"] = value
    module.load_state_dict(renamed)


def folded_weights(module: NetworkModule, block: int, step: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of a layer with its batch norm folded in, as inference engines run it.

    Convolution: [c_out, c_in / groups, k, k] and [c_out]; linear: [c_out, c_in] and [c_out];
    batch norm on its own: [c_out] and [c_out].
    """
    layer = module.blocks[block].get_submodule(str(step))
    if isinstance(layer, Classifier):
        return layer.linear.weight.detach(), layer.linear.bias.detach()
    assert isinstance(layer, ConvNorm)
    if isinstance(layer.conv, nn.Identity):
        return _affine(layer.bn)
    weight = layer.conv.weight.detach()
    if isinstance(layer.bn, nn.BatchNorm2d):
        scale, shift = _affine(layer.bn)
        return weight * scale[:, None, None, None], shift
    bias = layer.conv.bias
    return weight, weight.new_zeros(len(weight)) if bias is None else bias.detach()


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift of a batch norm in eval mode, per channel."""
    assert norm.running_var is not None and norm.running_mean is not None
    scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
    return scale, (norm.bias - norm.running_mean * scale).detach()


def reparameterised(module: NetworkModule) -> NetworkModule:
    """The module with each RepVGG unit as one 3x3 convolution (RepVGG paper, section 3.3).

    Outputs in eval mode are equal. Other blocks are copies."""
    network, blocks = module.network, list(module.network.blocks)
    for number, block in enumerate(blocks):
        if block.kind == "repvgg":
            fields = dict(block.fields)
            blocks[number] = Block("repvgg_deployed", block.height, block.width, **fields)
    deployed = NetworkModule(Network(f"{network.name} deployed", tuple(blocks)))
    for number, block in enumerate(network.blocks):
        target = deployed.blocks[number]
        if block.kind != "repvgg":
            target.load_state_dict(module.blocks[number].state_dict())
            continue
        weight, bias = (torch.zeros_like(each) for each in folded_weights(deployed, number, 0))
        for index, step in enumerate(block.steps):
            if step.op.kind in _LAYERS:
                kernel, shift = folded_weights(module, number, index)
                if kernel.ndim == 1:  # the identity's batch norm: a number per channel
                    kernel = torch.diag(kernel)[:, :, None, None]
                margin = (weight.shape[-1] - kernel.shape[-1]) // 2
                weight += functional.pad(kernel, (margin,) * 4)
                bias += shift
        target.get_submodule("0.conv").load_state_dict({"weight": weight, "bias": bias})
    return deployed.eval()
