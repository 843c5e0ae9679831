"""ZiCo: how steady the gradients of a network are from batch to batch, and how large.

Paper: Li, Yang, Bhardwaj and Marculescu, "ZiCo: Zero-shot NAS via Inverse Coefficient of
Variation on Gradients", ICLR 2023, Definition 1. With g the gradient of the loss with respect to
one weight, mean and variance over batches,

    ZiCo = sum over layers of  log( sum over the layer's weights of  mean |g| / std |g| )

- Layers are convolutions and linear layers, and of those the weights alone, as in the authors'
  program. A weight whose gradient does not vary is left out, also as there.
- The program takes std g, not std |g|, and does not clear gradients between batches, so that its
  second gradient is the sum of two. This is the paper's definition.
- Batch norm uses the batch's own statistics (train mode, as the program); dropout is off.
- The loss is the cross entropy. The program has real images and labels; the labels here are drawn
  at random unless given, for a random input has none.
- Mean and deviation are taken in float64.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluator.proxies.borrow import borrowed, call, check_input, raise_not_finite, tensor_output
from evaluator.proxies.registry import proxy


@proxy(
    "zico",
    "ZiCo",
    "ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients, Definition 1",
    logarithm=False,
)
def zico(
    module: nn.Module, x: Tensor, *, seed: int = 0, batches: int = 2, labels: Tensor | None = None
) -> float:
    """ZiCo of `module` on `x`, cut into `batches` equal parts; `labels` int64 [batch].

    Raises:
        ValueError: too few items for the batches, an output that is no [batch, classes], no
            convolution or linear layer that the output depends on.
    """
    check_input(x)
    if batches < 2 or len(x) < 2 * batches:
        raise ValueError(
            "`batches` must be >= 2 of at least 2 items each; "
            f"got {batches} for {len(x)} items of `x`."
        )
    if labels is not None and labels.shape != (len(x),):
        raise ValueError(f"`labels` must be [{len(x)}]; got shape {tuple(labels.shape)}.")
    names = _weights(module)
    generator = torch.Generator().manual_seed(seed)
    size = len(x) // batches
    gradients: list[tuple[Tensor | None, ...]] = []
    with borrowed(module, batch_statistics=True), torch.enable_grad():
        state = {name: p.detach().requires_grad_() for name, p in module.named_parameters()}
        weights = [state[name] for name in names]
        for index in range(batches):
            part = x[index * size : (index + 1) * size].detach()
            output = tensor_output(call(module, state, part))
            if output.ndim != 2 or output.shape[0] != size:
                raise ValueError(
                    f"the module must return [batch, classes] = [{size}, classes]; "
                    f"got shape {tuple(output.shape)}."
                )
            if labels is None:
                answers = torch.randint(output.shape[1], (size,), generator=generator)
            else:
                answers = labels[index * size : (index + 1) * size]
            loss = functional.cross_entropy(output, answers.to(output.device))
            if not torch.isfinite(loss):
                raise_not_finite(module, partial(call, module, state, part))
            gradients.append(torch.autograd.grad(loss, weights, allow_unused=True))
    total, counted = 0.0, 0
    for name, layer in zip(names, zip(*gradients, strict=True), strict=True):
        if layer[0] is None:
            continue
        counted += 1
        ratio = _layer_sum([g for g in layer if g is not None])
        if not math.isfinite(ratio):
            raise ValueError(f"the gradient of layer {_owner(name)!r} holds NaN or infinity.")
        total += math.log(ratio) if ratio > 0 else 0.0
    if not counted:
        raise ValueError("ZiCo needs weights with a gradient; the output depends on none.")
    return total


def _weights(module: nn.Module) -> list[str]:
    """Names of the weights of convolutions and linear layers, each tensor once."""
    layers = {
        f"{name}.weight" if name else "weight"
        for name, m in module.named_modules()
        if isinstance(m, nn.Conv2d | nn.Linear)
    }
    names = [name for name, _ in module.named_parameters() if name in layers]
    if not names:
        raise ValueError("ZiCo needs convolutions or linear layers; the module has none.")
    return names


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _layer_sum(gradients: list[Tensor]) -> float:
    """Sum over weights of mean |g| / std |g|; weights that do not vary are left out."""
    if len(gradients) == 2:  # mean = (a + b) / 2, std = |a - b| / 2
        first, second = (g.abs().double() for g in gradients)
        mean, deviation = first + second, (first - second).abs_()
    else:
        sizes = torch.stack(gradients).abs().double()
        mean, deviation = sizes.mean(dim=0), sizes.std(dim=0, correction=0)
    return float((mean / deviation).masked_fill_(deviation == 0, 0).sum())
