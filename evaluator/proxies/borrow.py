"""Using a module for a moment: other modes, other weights, and nothing of it left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.func import functional_call

State = dict[str, Tensor]


def random_input(*, size: int = 224, channels: int = 3, batch: int = 1, seed: int = 0) -> Tensor:
    """[batch, channels, size, size] of standard normal numbers, the same for the same seed.

    The first items are the same whatever the batch.
    """
    generator = torch.Generator().manual_seed(seed)
    items = [torch.randn(1, channels, size, size, generator=generator) for _ in range(batch)]
    return torch.cat(items)


def check_input(x: Any) -> None:
    """ValueError unless `x` is a finite float tensor of images."""
    if not isinstance(x, Tensor) or x.ndim != 4 or not x.numel() or not x.is_floating_point():
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(
            f"`x` must be a float tensor [batch, channels, height, width]; got {got}."
        )
    if not torch.isfinite(x).all():
        raise ValueError("`x` must be finite; it holds NaN or infinity.")


@contextmanager
def borrowed(module: nn.Module, *, batch_statistics: bool) -> Iterator[None]:
    """Eval mode, but batch norm with the batch's own statistics if asked; all restored after.

    Restored are the mode of every submodule and every buffer, in place.
    """
    modes = [(m, m.training) for m in module.modules()]
    buffers = [(b, b.clone()) for b in module.buffers()]
    try:
        for m, _ in modes:
            m.training = batch_statistics and isinstance(m, nn.modules.batchnorm._BatchNorm)
        yield
    finally:
        for m, mode in modes:
            m.training = mode
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def call(module: nn.Module, state: State, x: Tensor) -> Any:
    """The module's output with the tensors of `state` for its own of those names."""
    return functional_call(module, state, (x,))


def tensor_output(output: Any) -> Tensor:
    """ValueError unless a module's output is one tensor."""
    if not isinstance(output, Tensor):
        raise ValueError(f"the module must return one tensor; got {type(output).__name__}.")
    return output


def raise_not_finite(module: nn.Module, run: Callable[[], Any]) -> NoReturn:
    """ValueError that names the first layer whose output is not finite when `run` is called."""
    found: list[str] = []

    def look(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not torch.isfinite(output).all():
                found.append(name)

        return hook

    leaves = [(name, m) for name, m in module.named_modules() if not any(m.children())]
    handles = [m.register_forward_hook(look(name)) for name, m in leaves]
    try:
        with torch.no_grad(), suppress(Exception):
            run()
    finally:
        for handle in handles:
            handle.remove()
    where = f"output of layer {found[0]!r}" if found else "score"
    raise ValueError(f"the {where} holds NaN or infinity.")
