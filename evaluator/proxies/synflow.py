"""SynFlow: how much flows through a network along all of its paths.

Paper: Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by iteratively
conserving synaptic flow", NeurIPS 2020, Section 5. As a score of networks: Abdelfattah, Mehrotra,
Dudziak and Lane, "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, Section 3.2. With all
parameters made positive, an input of ones, and R the sum of the outputs,

    SynFlow = sum over weights w of  | w * dR / dw |

- As in the second paper's program: one item, float64 (R has hundreds of digits' range), the
  weights of convolutions and linear layers are summed, batch norm hands its input on. All else is
  in eval mode. Biases are made positive like the rest, and are not summed.
- Nothing is drawn, and of `x` only the shape and the device count. The weights are the module's
  own: seed them where you build it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from evaluator.proxies.borrow import borrowed, call, check_input, raise_not_finite, tensor_output
from evaluator.proxies.registry import proxy
from evaluator.proxies.watch import WithoutBatchNorm


@proxy(
    "synflow",
    "SynFlow",
    "Pruning neural networks without any data by iteratively conserving synaptic flow, Section 5",
    logarithm=True,
)
def synflow(module: nn.Module, x: Tensor, *, seed: int = 0) -> float:
    """SynFlow of `module` for inputs of the shape of `x`'s items; `seed` is not used.

    Raises:
        ValueError: no convolution or linear layer, or a layer gives NaN or infinity.
    """
    check_input(x)
    layers = {
        f"{name}.weight" if name else "weight": name
        for name, m in module.named_modules()
        if isinstance(m, nn.Conv2d | nn.Linear)
    }
    ones = torch.ones_like(x[:1], dtype=torch.float64)
    with borrowed(module, batch_statistics=False), torch.enable_grad(), WithoutBatchNorm():
        state = {
            name: p.detach().abs().double().requires_grad_()
            for name, p in module.named_parameters()
        }
        names = [name for name in state if name in layers]
        if not names:
            raise ValueError("SynFlow needs convolutions or linear layers; the module has none.")
        buffers = {
            name: b.detach().abs().double() if b.is_floating_point() else b.clone()
            for name, b in module.named_buffers()
        }
        output = tensor_output(call(module, {**state, **buffers}, ones))
        if not torch.isfinite(output).all():
            raise_not_finite(module, lambda: call(module, {**state, **buffers}, ones))
        gradients = torch.autograd.grad(
            output.sum(), [state[name] for name in names], allow_unused=True
        )
    total = 0.0
    for name, gradient in zip(names, gradients, strict=True):
        if gradient is None:
            continue
        flow = float((state[name].detach() * gradient).abs().sum())
        if not math.isfinite(flow):
            raise ValueError(f"the flow through layer {layers[name]!r} holds NaN or infinity.")
        total += flow
    return total
