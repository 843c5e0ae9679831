"""MeCo, optimised variant: a training-free score from one forward pass of one input.

Paper: Jiang, Wang and Bie, "MeCo: Zero-Shot NAS with One Data and Single Forward Pass via Minimum
Eigenvalue of Correlation", NeurIPS 2023. With D layers, f_i the feature maps [c_i, pixels] of
layer i for one random input, P the Pearson correlation between channels and lambda_min the
smallest eigenvalue,

    MeCo     = sum over i of  lambda_min(P(f_i))
    MeCo_opt = sum over i of  c_i / 8 * lambda_min(P(8 channels of f_i drawn at random))

The authors' program takes one 3 x 64 x 64 input of standard normal numbers, in train mode, and
adds up *every* submodule that has an output: containers, activations and the whole network too.

`meco` is MeCo_opt with these differences:

- Only convolutions are layers. The program's sum depends on how a module is nested, which says
  nothing about the function it computes.
- A layer of fewer than 8 channels gives all of them, with factor 1.
- `draws` sets of channels are averaged per layer (the paper: one), which lowers the noise.
- Batch-norm layers use the batch's own statistics as in train mode, all else is in eval mode.
- The correlation is computed in float64, and rounding below 0 is cut off. A channel that is
  constant correlates with nothing, not even itself: the minimum is then 0, as in their program.
- The input's size is the caller's. A map of 8 pixels or fewer always gives 0, so take the size the
  network is made for: at 64 x 64 a network of stride 32 is
  judged without its last stage, and ranks far worse (docs/score.md).

The weights are the module's own: seed them where you build it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from evaluator.proxies.borrow import borrowed, check_input, raise_not_finite
from evaluator.proxies.registry import proxy

CHANNELS = 8


class _NotFiniteError(Exception):
    """A map holds NaN or infinity."""


@proxy(
    "meco",
    "MeCo",
    "MeCo: Zero-Shot NAS with One Data and Single Forward Pass via Minimum Eigenvalue of "
    "Correlation, MeCo_opt",
    logarithm=True,
)
def meco(
    module: nn.Module, x: Tensor, *, seed: int = 0, channels: int = CHANNELS, draws: int = 8
) -> float:
    """MeCo_opt of `module` for the first item of `x`, [batch, channels, height, width].

    `seed` draws the channels. The module comes back as it was: mode, buffers, hooks.
    """
    check_input(x)
    if channels < 2 or draws < 1:
        raise ValueError(f"`channels` must be >= 2 and `draws` >= 1; got {channels} and {draws}.")
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    if not layers:
        raise ValueError("MeCo needs convolutions; the module has no Conv2d.")
    generator = torch.Generator().manual_seed(seed)
    scores: list[float] = []

    def hook(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        maps = output[0].flatten(1).double()
        if not torch.isfinite(maps).all():
            raise _NotFiniteError
        scores.append(_layer_score(maps, channels=channels, draws=draws, generator=generator))

    with borrowed(module, batch_statistics=True), torch.no_grad():
        handles = [layer.register_forward_hook(hook) for layer in layers]
        finite = True
        try:
            module(x[:1])
        except _NotFiniteError:
            finite = False
        finally:
            for handle in handles:
                handle.remove()
        if not finite:
            raise_not_finite(module, lambda: module(x[:1]))
    if not scores:
        raise ValueError("MeCo needs convolutions; none of the module's ran.")
    return sum(scores)


def _layer_score(maps: Tensor, *, channels: int, draws: int, generator: torch.Generator) -> float:
    """Mean over draws of c / channels * lambda_min of one layer's `maps`, [c, pixels]."""
    count = maps.shape[0]
    centred = maps - maps.mean(dim=1, keepdim=True)
    norm = centred.norm(dim=1, keepdim=True)
    constant = norm <= 1e-12 * maps.norm(dim=1, keepdim=True)
    unit = torch.where(constant, 0.0, centred / torch.where(constant, 1.0, norm))
    taken = min(channels, count)
    if taken == count:
        picked = unit[None]
    else:
        order = torch.rand(draws, count, generator=generator).argsort(dim=1)[:, :taken]
        picked = unit[order.to(unit.device)]
    smallest = torch.linalg.eigvalsh(picked @ picked.transpose(1, 2))[:, 0].clamp(min=0)
    return float(smallest.mean()) * count / taken
