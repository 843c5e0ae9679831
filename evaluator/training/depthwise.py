"""Depthwise convolutions that learn quickly on a processor.

torch leaves them to oneDNN, whose gradient of the weights is slow for kernels of 5 and 7 on the
small maps of a late stage (docs/results/training.md). That gradient is a depthwise convolution
too, with the images as channels and the output's gradient as the kernel, and for those oneDNN is
quick.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAST_KERNEL = 5
LARGEST_MAP = 64  # positions of the output; on larger ones oneDNN is as quick


class Depthwise(torch.autograd.Function):
    """`functional.conv2d` with a channel a group: x [n, c, h, w], weight [c, 1, k, k]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return functional.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        of_x, stride, padding = None, (ctx.stride,) * 2, (weight.shape[-1] // 2,) * 2
        if ctx.needs_input_grad[0]:
            of_x, _, _ = torch.ops.aten.convolution_backward(
                *(gradient, x, weight, None, stride, padding, (1, 1), False, (0, 0), len(weight)),
                (True, False, False),
            )
        of_weight = None
        if ctx.needs_input_grad[1]:
            of_weight = weight_gradient(x, gradient, weight.shape[-1], ctx.stride)
        return of_x, of_weight, None


def weight_gradient(x: Tensor, gradient: Tensor, kernel: int, stride: int) -> Tensor:
    """The gradient of a depthwise convolution's weight, [c, 1, kernel, kernel], padded by half a
    kernel. `x`: [n, c, h, w]; `gradient`: of the output, [n, c, h', w'].

    weight[c, a, b] meets x[n, c, stride i + a, stride j + b] at position (i, j) of the output, so
    the sum over i and j is a convolution of x by the gradient, dilated by the stride.
    """
    images, channels, *_ = x.shape
    size = images * channels
    # Channels stay innermost, in memory too: [h, w, images x channels].
    maps = x.permute(2, 3, 0, 1).reshape(1, *x.shape[2:], size).permute(0, 3, 1, 2)
    taps = gradient.permute(2, 3, 0, 1).reshape(*gradient.shape[2:], size)
    taps = taps.permute(2, 0, 1).unsqueeze(1)
    each = functional.conv2d(maps, taps, None, 1, kernel // 2, stride, size)
    # The convolution has one more row and column where the stride leaves a rest.
    each = each[..., :kernel, :kernel].permute(0, 2, 3, 1)
    each = each.reshape(kernel, kernel, images, channels)
    return each.sum(2).permute(2, 0, 1).unsqueeze(1)


class _Quick(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        step = int(self.stride[0])
        positions = -(-input.shape[2] // step) * -(-input.shape[3] // step)
        learns = torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
        if input.device.type != "cpu" or not learns or positions > LARGEST_MAP:
            return super().forward(input)
        return Depthwise.apply(input, self.weight, step)  # type: ignore[no-any-return,no-untyped-call]


def quickened(module: nn.Module) -> nn.Module:
    """The module, with its depthwise convolutions of large kernels replaced by ones that learn
    quickly on a processor; their weights and names are the same."""
    for name, part in list(module.named_modules()):
        if type(part) is nn.Conv2d and _suits(part):
            shape = (part.in_channels, part.out_channels, part.kernel_size, part.stride)
            options: dict[str, Any] = {"groups": part.groups, "bias": False, "device": "meta"}
            quick = _Quick(*shape, part.padding, **options)
            quick.weight = part.weight
            module.set_submodule(name, quick)
    return module


def _suits(part: nn.Conv2d) -> bool:
    """Whether it is depthwise, as `Depthwise` is, and its kernel is large."""
    kernel, other = part.kernel_size
    return (
        part.groups == part.in_channels == part.out_channels
        and part.bias is None
        and kernel == other >= LEAST_KERNEL
        and kernel % 2 == 1
        and part.padding == (kernel // 2, kernel // 2)
        and part.dilation == (1, 1)
        and part.stride[0] == part.stride[1]
    )
