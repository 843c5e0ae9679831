"""A chain of blocks as a torch module for inference: batch norm folded, straight-line code."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from copy import copy

import torch
from torch import fx, nn

from latency.engines.lowering import input_shape
from latency.engines.weights import (
    NORM_EPSILON,
    NORM_VARIANCE,
    WEIGHTED,
    Array,
    Weights,
    checked_weights,
    random_weights,
)
from space.network.block import Block
from space.network.network import Network
from space.network.torch_module import BlockModule


def build_chain(blocks: Sequence[Block], weights: Weights | None = None) -> fx.GraphModule:
    """`chain_module`, traced.

    Its forward is without loops over steps and look-ups of layers by name, which take 3 to 4 % of
    the time of ShuffleNet v2 1x on a processor. A GPU runs the same kernels either way.

    Raises:
        ValueError: as `chain_module`.
    """
    module = chain_module(blocks, weights)
    graph = fx.Tracer().trace(module)
    for node in graph.nodes:
        if node.op == "call_module" and isinstance(module.get_submodule(node.target), nn.Identity):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    return fx.GraphModule(module, graph)


def chain_module(blocks: Sequence[Block], weights: Weights | None = None) -> nn.Module:
    """The chain `blocks` as the module of `space.network.torch_module` with other weights, in eval
    mode; in three quarters less time than `build_chain`.

    Args:
        weights: None: random ones.

    Raises:
        ValueError: no blocks, or weights of another shape.
    """
    input_shape(blocks, 1)
    drawn, weights = weights is None, weights or random_weights()
    network = Network("chain", tuple(blocks))
    with torch.device("meta"):  # nothing is allocated or drawn for weights that are replaced
        made = {block: BlockModule(block) for block in dict.fromkeys(network.blocks)}
    copies = [_copy(made[block]) for block in network.blocks]
    for number, block in enumerate(blocks):
        for index, step in enumerate(block.steps):
            if step.op.kind in WEIGHTED:
                layer = copies[number].get_submodule(str(index))
                arrays = checked_weights(weights, number, index, step.op)
                _set_weights(layer, *(arrays if drawn else (each.copy() for each in arrays)))
    return nn.Sequential(OrderedDict(blocks=nn.Sequential(*copies))).eval()


def _copy(module: nn.Module) -> nn.Module:
    """A module with the same parameters and buffers, until they are replaced: making a layer takes
    longer than all else here."""
    made = copy(module)
    for name in ("_parameters", "_buffers"):
        setattr(made, name, dict(getattr(module, name)))
    made._modules = {n: None if m is None else _copy(m) for n, m in module._modules.items()}
    return made


def _set_weights(layer: nn.Module, weight: Array, bias: Array) -> None:
    """Give a layer of `space.network.torch_module` its folded weights; it keeps the arrays."""
    if weight.ndim == 4:
        layer.bn, target = nn.Identity(), layer.conv
    elif weight.ndim == 1:
        layer.bn = target = nn.BatchNorm2d(len(weight), eps=NORM_EPSILON)
        target.running_var.fill_(NORM_VARIANCE)
    else:
        target = layer.linear
    target.weight, target.bias = (
        nn.Parameter(torch.from_numpy(array), requires_grad=False) for array in (weight, bias)
    )
