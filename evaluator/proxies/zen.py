"""Zen-score: how far a network moves its features when its input moves a little.

Paper: Lin, Wang, Sun, Chen, Sun, Qian, Li and Jin, "Zen-NAS: A Zero-Shot NAS for High-Performance
Image Recognition", ICCV 2021, Section 4 and Algorithm 1. With all weights, the input x and the
step e drawn from N(0, 1), f the features before the global pooling,

    Zen = log( mean over items of  sum | f(x) - f(x + alpha e) | )
          + sum over batch norms of  log sqrt( mean over channels of the batch's variance )

The second line puts back the scale that batch norm takes out.

- Norms as the authors' program: the sum of absolute differences. alpha = 0.01, its default.
- Batch norm uses the batch's own statistics, weight 1 and bias 0. The variance is that of the
  batch `x`, as in Algorithm 1; the program reads the running variance, which after two steps of
  momentum 0.1 is still mostly its initial 1.
- The program searches networks without shortcuts and squeeze-and-excite; a module has what it
  has, so a block that is skipped over still counts.
- The mean of `draws` scores (the program: 32), each with its own weights, x and e.
- The features are the input of the last pooling over the whole map; a module without one gives
  its output.
- Of the input only the shape and the device count, and of the module nothing but its structure.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from evaluator.proxies.borrow import (
    State,
    borrowed,
    call,
    check_input,
    raise_not_finite,
    tensor_output,
)
from evaluator.proxies.registry import proxy
from evaluator.proxies.watch import BATCH_NORMS, Watch, aten

NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


@proxy(
    "zen",
    "Zen-score",
    "Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition, Algorithm 1",
    logarithm=False,
)
def zen(
    module: nn.Module, x: Tensor, *, seed: int = 0, draws: int = 2, alpha: float = 0.01
) -> float:
    """Zen-score of `module` for batches of the shape of `x`.

    Raises:
        ValueError: a layer gives NaN or infinity, or the features do not depend on the input.
    """
    check_input(x)
    if draws < 1 or not alpha > 0:
        raise ValueError(f"`draws` must be >= 1 and `alpha` > 0; got {draws} and {alpha}.")
    generator = torch.Generator().manual_seed(seed)
    with borrowed(module, batch_statistics=True), torch.no_grad():
        return sum(_draw(module, x, alpha, generator) for _ in range(draws)) / draws


def _draw(module: nn.Module, x: Tensor, alpha: float, generator: torch.Generator) -> float:
    state = _gaussian(module, generator)
    start, step = (torch.randn(x.shape, generator=generator).to(x) for _ in range(2))
    before, scale = _features(module, state, start)
    after, _ = _features(module, state, start + alpha * step)
    moved = float((before - after).abs().sum(dtype=torch.float64)) / len(x)
    if not (math.isfinite(moved) and math.isfinite(scale)):
        raise_not_finite(module, lambda: call(module, state, start))
    if moved == 0:
        raise ValueError("the features must depend on the input; a step left them as they were.")
    return math.log(moved) + scale


def _gaussian(module: nn.Module, generator: torch.Generator) -> State:
    """Weights of N(0, 1), biases 0; weight 1 and bias 0 of norms; other parameters as they are."""
    state: State = {}
    for prefix, layer in module.named_modules():
        norm = isinstance(layer, NORMS)
        if not norm and not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        for name, value in layer.named_parameters(recurse=False):
            if name == "bias":
                drawn = torch.zeros_like(value)
            elif norm:
                drawn = torch.ones_like(value)
            else:
                drawn = torch.randn(value.shape, generator=generator).to(value)
            state[f"{prefix}.{name}" if prefix else name] = drawn
    return state


def _features(module: nn.Module, state: State, x: Tensor) -> tuple[Tensor, float]:
    """The features before the last global pooling, and the log scale that batch norm took."""
    pooled: Tensor | None = None
    scale = 0.0

    def seen(op: Any, arguments: Any, options: Any, result: Any) -> None:
        nonlocal pooled, scale
        if op in BATCH_NORMS:
            deviation, eps = result[2], arguments[7]
            variance = float((deviation.double() ** -2 - eps).clamp(min=0).mean())
            scale += 0.5 * math.log(variance) if variance > 0 else -math.inf
        elif _pools_all(op, arguments):
            pooled = arguments[0]

    with Watch(seen=seen):
        output = call(module, state, x)
    return (tensor_output(output) if pooled is None else pooled), scale


def _pools_all(op: Any, arguments: Any) -> bool:
    """Whether an operation makes one value of every map."""
    if op not in (aten.mean, aten.avg_pool2d, aten._adaptive_avg_pool2d, aten.adaptive_max_pool2d):
        return False
    given = arguments[0]
    if given.ndim != 4 or len(arguments) < 2:
        return False
    size = tuple(arguments[1])
    if op is aten.mean:
        return {axis % 4 for axis in size} == {2, 3}
    return size == ((1, 1) if "adaptive" in str(op) else tuple(given.shape[2:]))
