"""A chain of blocks as a torch module for inference: batch norm folded, straight-line code."""

from __future__ import annotations

from collections.abc import Sequence

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
from space.network.torch_module import NetworkModule


def build_chain(blocks: Sequence[Block], weights: Weights | None = None) -> fx.GraphModule:
    """The chain `blocks` as the module of `space.network.torch_module` with other weights, in eval
    mode.

    Its forward is a trace of that module's, without loops over steps and look-ups of layers by
    name, which take 3 to 4 % of the time of ShuffleNet v2 1x. `weights` None: random ones.

    Raises:
        ValueError: no blocks, or weights of another shape.
    """
    input_shape(blocks, 1)
    weights = weights or random_weights()
    with torch.device("meta"):  # nothing is allocated or drawn for weights that are replaced
        module = NetworkModule(Network("chain", tuple(blocks)))
    for number, block in enumerate(blocks):
        for index, step in enumerate(block.steps):
            if step.op.kind in WEIGHTED:
                layer = module.blocks[number].get_submodule(str(index))
                _set_weights(layer, *checked_weights(weights, number, index, step.op))
    traced = fx.symbolic_trace(module.eval())
    for node in traced.graph.nodes:
        if node.op == "call_module" and isinstance(traced.get_submodule(node.target), nn.Identity):
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
    traced.recompile()
    return traced


def _set_weights(layer: nn.Module, weight: Array, bias: Array) -> None:
    """Give a layer of `space.network.torch_module` its folded weights."""
    if weight.ndim == 4:
        layer.bn, target = nn.Identity(), layer.conv
    elif weight.ndim == 1:
        layer.bn = target = nn.BatchNorm2d(len(weight), eps=NORM_EPSILON)
        target.running_var.fill_(NORM_VARIANCE)
    else:
        target = layer.linear
    target.weight, target.bias = (
        nn.Parameter(torch.from_numpy(array.copy()), requires_grad=False)
        for array in (weight, bias)
    )
