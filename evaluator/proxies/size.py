"""The baselines: multiply-adds and parameters of a module, counted.

A score that is worth its time has to rank networks better than these do, and to rank networks of
equal size at all.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from evaluator.proxies.borrow import borrowed, check_input
from evaluator.proxies.registry import proxy
from evaluator.proxies.watch import Watch, aten


@proxy("params", "params", "a count: every parameter, tied ones once", logarithm=True)
def params(module: nn.Module, x: Tensor, *, seed: int = 0) -> float:
    """Parameters of `module`; neither `x` nor `seed` is used."""
    return float(sum(p.numel() for p in module.parameters()))


@proxy(
    "flops", "FLOPs", "a count: multiply-adds of convolutions and linear layers", logarithm=True
)
def flops(module: nn.Module, x: Tensor, *, seed: int = 0) -> float:
    """Multiply-adds of convolutions and products of matrices for one item; `seed` is not used."""
    check_input(x)
    total = 0

    def seen(op: Any, arguments: Any, options: Any, result: Any) -> None:
        nonlocal total
        if op is aten.convolution:
            given, weight, transposed = arguments[0], arguments[1], arguments[6]
            total += (given if transposed else result).numel() * weight[0].numel()
        elif op in (aten.mm, aten.bmm):
            total += result.numel() * arguments[0].shape[-1]
        elif op in (aten.addmm, aten.baddbmm):
            total += result.numel() * arguments[1].shape[-1]

    with borrowed(module, batch_statistics=False), torch.no_grad(), Watch(seen=seen):
        module(x[:1])
    return float(total)
