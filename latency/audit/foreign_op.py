"""The op of a foreign layer: an `Op` where its rules hold, a `ForeignOp` where they do not."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import Any

from latency.audit.graph import Shape
from space.graph.op import Op

# Activations that cost as much as ReLU: a kernel clips its output. The others take exponentials.
_CLIPPED = ("relu", "relu6", "hardswish", "hardsigmoid", "leaky_relu", "prelu", "clamp", "abs")


def costs_like(act: str) -> str:
    """The activation of `space.graph.op` with the cost of `act`."""
    if not act or act == "relu6":
        return act
    return "relu" if act in _CLIPPED else "sigmoid"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignOp(Op):
    """An op that our spaces do not have: another padding, a kernel that is not square, a
    depthwise convolution that multiplies channels, other parameters.

    Costs follow from the formulas of `Op`, with explicit sizes instead of derived ones.
    """

    kernel_width: int
    out_rows: int
    out_columns: int
    own_params: int
    read: int

    def __post_init__(self) -> None:
        """Check nothing: the sizes are those of a model that runs."""

    @property
    def out_height(self) -> int:
        return self.out_rows

    @property
    def out_width(self) -> int:
        return self.out_columns

    @property
    def in_elements(self) -> int:
        return self.read

    @property
    def weights(self) -> Any:
        taps: Any = self.kernel * self.kernel_width
        if self.kind == "dwconv":
            return self.c_out * taps
        if self.kind in ("conv", "linear"):
            return self.c_in // self.groups * self.c_out * taps
        return 0

    @property
    def params(self) -> int:
        return self.own_params

    @property
    def is_pointwise(self) -> bool:
        return self.kind == "conv" and self.kernel == self.kernel_width == 1


def planes(shape: Shape) -> tuple[int, int, int]:
    """A shape as (channels, height, width); without three axes the last one is the channels."""
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    return (shape[-1] if shape else 1), prod(shape[:-1]), 1


def make_op(
    kind: str,
    sizes: tuple[int, int, int],
    out: tuple[int, int, int],
    *,
    kernel: tuple[int, int] = (1, 1),
    stride: tuple[int, int] = (1, 1),
    groups: int = 1,
    start: int = 0,
    act: str = "",
    norm: str = "batch",
    params: int = 0,
    read: int = -1,
) -> Op:
    """The op from `sizes` to `out`, both (channels, height, width).

    `params`: the parameters of the layer in the model. `read`: elements read; -1: those of the
    input. A linear layer has neither `stride` nor `norm`.
    """
    c_in, height, width = sizes
    c_out, rows, columns = out
    if kind == "linear":
        stride, norm = (1, 1), "batch"
    fields: dict[str, Any] = {"kind": kind, "c_in": c_in, "c_out": c_out}
    fields |= {"height": height, "width": width, "kernel": kernel[0], "stride": stride[0]}
    fields |= {"groups": groups, "start": start, "act": costs_like(act), "norm": norm}
    if kernel[0] == kernel[1] and stride[0] == stride[1]:
        with suppress(ValueError):
            op = Op(**fields)
            same = (op.out_height, op.out_width, op.params) == (rows, columns, params)
            if same and read in (-1, op.in_elements):
                return op
    return ForeignOp(
        **fields,
        kernel_width=kernel[1],
        out_rows=rows,
        out_columns=columns,
        own_params=params,
        read=c_in * height * width if read < 0 else read,
    )
