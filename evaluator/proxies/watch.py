"""Seeing the operations of a forward pass, be they layers or functions of any module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
# Activations with a kink or a bend at zero, where the sign of the input is the unit's code.
ACTIVATIONS = frozenset(
    (
        aten.relu,
        aten.relu_,
        aten.hardtanh,
        aten.hardtanh_,
        aten.leaky_relu,
        aten.leaky_relu_,
        aten.elu,
        aten.elu_,
        aten._prelu_kernel,
        aten.silu,
        aten.silu_,
        aten.gelu,
        aten.gelu_,
        aten.hardswish,
        aten.hardswish_,
        aten.mish,
        aten.mish_,
    )
)
# All of (input, weight, bias, running mean, running variance, training, momentum, eps), and all
# return (output, batch mean, 1 / sqrt(batch variance + eps)) in training.
BATCH_NORMS = frozenset((aten.native_batch_norm, aten.cudnn_batch_norm, aten.miopen_batch_norm))


class Watch(TorchDispatchMode):
    """Calls `seen(op, arguments, options, result)` after every operation, `before` before it.

    The op is without its overload: `aten.relu`, not `aten.relu.default`. `before` is for ops
    that overwrite their input.
    """

    def __init__(
        self,
        *,
        seen: Callable[[Any, Any, Any, Any], None] | None = None,
        before: Callable[[Any, Any], None] | None = None,
    ) -> None:
        super().__init__()
        self._seen, self._before = seen, before

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        op = func.overloadpacket
        if self._before is not None:
            self._before(op, args)
        result = func(*args, **(kwargs or {}))
        if self._seen is not None:
            self._seen(op, args, kwargs or {}, result)
        return result


class WithoutBatchNorm(TorchFunctionMode):
    """Batch norm hands its input on."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.nn.functional.batch_norm, torch.batch_norm):
            return args[0] if args else (kwargs or {})["input"]
        return func(*args, **(kwargs or {}))
