"""One fused kernel of a network: what it computes and what that costs on paper."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from space.common.text import shorten

Count: TypeAlias = int | NDArray[np.int64]

KINDS = (
    "conv",  # dense or grouped convolution + batch norm (or `norm`) (+ activation)
    "dwconv",  # depthwise convolution + batch norm (or `norm`) (+ activation)
    "linear",  # fully connected layer with bias (+ activation)
    "maxpool",
    "avgpool",
    "globalpool",  # mean over all positions
    "slice",  # channels start .. start + c_out of the input; a view, no traffic
    "flatten",  # [n, c, 1, 1] as [n, c], where a network ends without a linear layer; a view
    "concat",  # with groups > 1: concat and channel shuffle in one pass (paper, section 4)
    "shuffle",  # a separate channel shuffle, as in ShuffleNet v1
    "add",  # of two tensors
    "mul",  # of a tensor by one number per channel, the second input
    "batchnorm",  # batch norm that no convolution before it can absorb (+ activation)
    "relu",  # an activation that no convolution can absorb
)
VIEWS = ("slice", "flatten")  # kinds that move nothing
# hardsigmoid(x) = relu6(x + 3) / 6, hardswish(x) = x hardsigmoid(x), silu(x) = x sigmoid(x).
ACTIVATIONS = ("", "relu", "relu6", "sigmoid", "hardswish", "hardsigmoid", "silu")
LARGEST = 10**6  # channels, pixels, groups of an op as text
NORMS = {"batch": 2, "bias": 1, "none": 0}  # what follows a convolution: parameters per channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One fused kernel at one input resolution: ints, or int arrays [n] for n ops of one kind.

    `kernel`, `stride`, `height` and `width` (of the input) are in pixels. Padding is
    `(kernel - 1) // 2`, so that stride 1 preserves the size. An avgpool may have an even kernel
    equal to its stride; windows at the far edges are cut off. A convolution or maxpool with
    `valid` 1 has no padding: of a convolution, positions without a whole window are left out; of a
    maxpool, windows at the far edges are cut off. `c_in` of `concat` is the sum over its inputs.
    `flops` are multiply-adds, `mem_access` counts elements.

    Raises:
        ValueError: a field of an int-valued op is out of range; the message names it.

    Example:
        >>> op = Op(kind="conv", c_in=24, c_out=58, height=56, width=56, act="relu")
        >>> op.flops, op.params, op.mem_access
        (4365312, 1508, 258544)
        >>> str(op), Op.parse(str(op)) == op
        ('conv@56x56 c_in=24 c_out=58 act=relu', True)
    """

    kind: str
    c_in: Count
    c_out: Count
    height: Count
    width: Count
    kernel: Count = 1
    stride: Count = 1
    groups: Count = 1
    start: Count = 0
    act: str = ""
    norm: str = "batch"
    valid: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"op kind must be one of {', '.join(KINDS)}; got {self.kind!r}")
        if self.act not in ACTIVATIONS:
            raise ValueError(f"`act` must be one of {ACTIVATIONS}; got {self.act!r}")
        if self.norm not in NORMS or (self.norm != "batch" and "conv" not in self.kind):
            raise ValueError(
                f"`norm` must be one of {', '.join(NORMS)}, and batch but after a convolution; "
                f"got {self.norm!r} of {self.kind}"
            )
        for name in ("c_in", "c_out", "height", "width", "kernel", "stride", "groups"):
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"`{name}` of {self.kind} must be at least 1; got {value}")
        even = isinstance(self.kernel, int) and self.kernel % 2 == 0
        if even and not (self.kind == "avgpool" and self.stride == self.kernel):
            raise ValueError(f"`kernel` of {self.kind} must be odd; got {self.kernel}")
        if self.valid not in (0, 1) or (self.valid and self.kind not in ("conv", "maxpool")):
            raise ValueError(
                "`valid` must be 0, or 1 of a convolution or maxpool; "
                f"got {self.valid} of {self.kind}"
            )
        sizes = (self.out_height, self.out_width)
        if any(isinstance(size, int) and size < 1 for size in sizes):
            raise ValueError(
                f"{self.kind} of kernel {self.kernel} without padding leaves nothing of "
                f"{self.height}x{self.width}"
            )
        if self.kind == "dwconv" and isinstance(self.c_in, int) and self.c_in != self.c_out:
            raise ValueError(f"dwconv keeps its channels; got {self.c_in} -> {self.c_out}")
        if isinstance(self.groups, int) and isinstance(self.c_in, int):
            out = cast(int, self.c_out)
            if self.groups > 1 and (self.c_in % self.groups or out % self.groups):
                raise ValueError(
                    f"`groups` must divide the channels; got {self.c_in} -> {out} "
                    f"in {self.groups} groups"
                )

    @property
    def out_height(self) -> Count:
        return self._out_size(self.height)

    @property
    def out_width(self) -> Count:
        return self._out_size(self.width)

    def _out_size(self, size: Count) -> Count:
        if self.kind == "globalpool":
            return 1
        if not self.valid:
            return (size - 1) // self.stride + 1
        # Pixels that the last window of a pool may lack; of `valid` ops these fields are ints.
        cut = min(self.stride, self.kernel) - 1 if self.kind == "maxpool" else 0
        return (size - self.kernel + cut) // self.stride + 1

    @property
    def in_elements(self) -> Count:
        """Elements read; both operands of an add or mul."""
        one = self.c_in * self.height * self.width
        if self.kind == "mul":
            return one + self.c_in
        return one * 2 if self.kind == "add" else one

    @property
    def out_elements(self) -> Count:
        return self.c_out * self.out_height * self.out_width

    @property
    def weights(self) -> Count:
        """Multiplied weights: without batch norm, without bias."""
        if self.kind == "dwconv":
            return self.c_in * self.kernel * self.kernel
        if self.kind in ("conv", "linear"):
            return self.c_in // self.groups * self.c_out * self.kernel * self.kernel
        return 0

    @property
    def flops(self) -> Count:
        """Multiply-adds of convolutions and linear layers, as the paper counts them."""
        return self.weights * self.out_height * self.out_width

    @property
    def params(self) -> Count:
        """Trainable parameters: weights, batch norm scale and shift, bias."""
        if self.kind in ("conv", "dwconv", "batchnorm"):
            return self.weights + NORMS[self.norm] * self.c_out
        return self.weights + self.c_out if self.kind == "linear" else 0

    @property
    def mem_access(self) -> Count:
        """Elements read and written: input, output, weights (paper, section 2, G1)."""
        if self.kind in VIEWS:
            return 0
        return self.in_elements + self.out_elements + self.weights

    @property
    def is_pointwise(self) -> bool:
        """A 1x1 convolution, the operator of G1 and G2."""
        return self.kind == "conv" and isinstance(self.kernel, int) and self.kernel == 1

    def __str__(self) -> str:
        words = [f"{self.kind}@{self.height}x{self.width}"]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ("kind", "height", "width") and value != field.default:
                words.append(f"{field.name}={value}")
        return " ".join(words)

    @classmethod
    def parse(cls, text: str) -> Op:
        """The op whose `str` is `text`; ValueError says what is malformed."""
        kind, height, width, values = parse_words(text)
        fields: dict[str, Any] = {n: values.pop(n) for n in ("act", "norm") if n in values}
        try:
            fields |= {name: parse_number(value) for name, value in values.items()}
            return cls(kind=kind, height=height, width=width, **fields)
        except (TypeError, ValueError) as error:
            raise ValueError(f"malformed op {shorten(text, 200)}: {error}") from None


def parse_number(text: str) -> int:
    """The number of a field; ValueError if it is none, or one that no op has."""
    value = int(text)
    if abs(value) > LARGEST:
        raise ValueError(f"numbers must be at most {LARGEST}; got {shorten(text)}")
    return value


def parse_words(text: str) -> tuple[str, int, int, dict[str, str]]:
    """Split `kind@HxW name=value ...` into its parts; ValueError if it is not of that form."""
    head, *words = text.split() or [""]
    kind, at, size = head.partition("@")
    height, cross, width = size.partition("x")
    values = dict(word.partition("=")[::2] for word in words)
    if not (at and cross and height.isdecimal() and width.isdecimal() and all(values.values())):
        raise ValueError(f"must look like 'kind@HxW name=value ...'; got {shorten(text, 200)}")
    if len(values) != len(words):
        raise ValueError(f"a name occurs twice in {shorten(text, 200)}")
    return kind, parse_number(height), parse_number(width), values
