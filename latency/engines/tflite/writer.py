"""TensorFlow Lite models of chains of blocks, written straight from `block.steps`.

Values are [n, h, w, c], the blocks' are [n, c, h, w]. Batch norm is folded; a ReLU is part of the
op before it. Where torch's padding is not TensorFlow's SAME (which puts the odd row at the far
edge), a PAD precedes the op, as in the output of converters from PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from latency.engines.lowering import input_shape, walk_chain
from latency.engines.tflite.file import ACTIVATIONS, SAME, VALID, Graph
from latency.engines.weights import Weights, checked_weights, random_weights
from space.common.errors import MissingOpError
from space.graph.op import Op
from space.network.block import Block

LOWEST = float(np.finfo(np.float32).min)
# Outputs are not below 0 if no input is.
MONOTONE = ("maxpool", "avgpool", "globalpool", "slice", "shuffle", "concat", "add", "flatten")
POSITIVE = ("relu", "relu6", "sigmoid", "hardsigmoid")  # activations that are not below 0


def build_model(
    blocks: Sequence[Block], *, batch: int = 1, weights: Weights | None = None
) -> bytes:
    """The chain `blocks` as the content of a .tflite file, float32. `weights` None: random ones.

    Raises:
        ValueError: no blocks, or weights of another shape.
        MissingOpError: an op that this writer has no TensorFlow Lite form for.
    """
    n, channels, height, width = input_shape(blocks, batch)
    writer = _Writer(weights or random_weights())
    start = writer.graph.value("input", (n, height, width, channels))
    last = walk_chain(blocks, start, write_op=writer.op, write_split=writer.split)
    return writer.graph.to_bytes([start], [last])


class _Writer:
    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.graph = Graph()
        self._positive: set[int] = set()  # values that cannot be below 0
        self._numbers: dict[float, int] = {}

    def shape(self, value: int) -> tuple[int, ...]:
        return self.graph.tensors[value].shape

    def add(self, kind: str, inputs: Sequence[int], shape: Sequence[int], **options: int) -> int:
        """An operator with one output of that shape; the output."""
        out = self.graph.value(f"v{len(self.graph.tensors)}", shape)
        return self.graph.add(kind, inputs, [out], **options)

    def split(self, block: int, slices: dict[int, int], value: int) -> list[int] | None:
        """One SPLIT into equal parts, the only one that XNNPACK has; None for other parts."""
        sizes = list(slices.values())
        if len(set(sizes)) > 1:
            return None
        shape = self.shape(value)
        part = (*shape[:-1], sizes[0])
        outputs = [self.graph.value(f"v{len(self.graph.tensors)}", part) for _ in sizes]
        axis = self.graph.ints(len(shape) - 1)
        self.graph.add("SPLIT", [axis, value], outputs, num_splits=len(sizes))
        if value in self._positive:
            self._positive |= set(outputs)
        return outputs

    def op(self, block: int, step: int, op: Op, inputs: list[int]) -> int:
        kind, x = op.kind, inputs[0]
        act = ACTIVATIONS.get(op.act, 0)  # the operator's own activation
        shape = (self.shape(x)[0], int(op.out_height), int(op.out_width), int(op.c_out))
        fused = True
        if kind in ("conv", "dwconv"):
            y = self._conv(block, step, op, x, shape, act)
        elif kind == "linear":
            y = self._linear(block, step, op, x, act)
        elif kind in ("maxpool", "avgpool"):
            y = self._pool(op, x, shape, act)
        elif kind == "add":
            y = self.add("ADD", inputs, shape, act=act)
        elif kind == "mul":
            per_channel = self._reshape(inputs[1], (shape[0], 1, 1, shape[3]))
            y = self.add("MUL", [x, per_channel], shape, act=act)
        elif kind == "batchnorm":
            scale, shift = self._weights(block, step, op)
            y = self.add("ADD", [self.add("MUL", [x, scale], shape), shift], shape, act=act)
        elif kind == "relu":
            y = self.add("RELU", [x], self.shape(x))
        else:
            fused = False
            y = self._move(op, inputs, shape)
        if op.act not in ACTIVATIONS or not fused:
            y = self._activate(op.act, y)
        monotone = kind in MONOTONE and not op.act and self._positive >= set(inputs)
        if op.act in POSITIVE or kind == "relu" or monotone:
            self._positive.add(y)
        return y

    def _activate(self, act: str, y: int) -> int:
        """An activation as operators of its own."""
        shape = self.shape(y)
        if act == "sigmoid":
            return self.add("LOGISTIC", [y], shape)
        if act == "silu":
            return self.add("MUL", [y, self.add("LOGISTIC", [y], shape)], shape, act=0)
        if act == "hardswish":
            return self.add("HARD_SWISH", [y], shape)
        if act == "hardsigmoid":
            moved = self.add("ADD", [y, self._number(3.0)], shape, act=ACTIVATIONS["relu6"])
            return self.add("MUL", [moved, self._number(1 / 6)], shape, act=0)
        return self.add(act.upper(), [y], shape) if act else y

    def _number(self, value: float) -> int:
        """A constant of one float32, stored once."""
        if value not in self._numbers:
            data = np.array([value], np.float32)
            self._numbers[value] = self.graph.constant(f"number{len(self._numbers)}", data)
        return self._numbers[value]

    def _move(self, op: Op, inputs: list[int], shape: tuple[int, ...]) -> int:
        """Ops that have no activation of their own."""
        if op.kind == "globalpool":
            axes = self.graph.ints([1, 2])
            return self.add("MEAN", [inputs[0], axes], shape, keep_dims=1)
        if op.kind == "shuffle":
            return self._shuffle(inputs[0], int(op.groups))
        if op.kind == "flatten":
            return self._reshape(inputs[0], (shape[0], shape[3]))
        if op.kind == "concat":
            joined = self.add("CONCATENATION", inputs, shape, axis=3)
            return self._shuffle(joined, int(op.groups)) if op.groups > 1 else joined
        if op.kind == "slice":
            *front, _ = self.shape(inputs[0])
            start = [0] * len(front) + [int(op.start)]
            end = [*front, int(op.start + op.c_out)]
            bounds = [self.graph.ints(each) for each in (start, end, [1] * len(start))]
            return self.add("STRIDED_SLICE", [*inputs, *bounds], (*front, int(op.c_out)))
        raise MissingOpError(f"the TensorFlow Lite writer has no form for op kind {op.kind!r}")

    def _reshape(self, value: int, shape: tuple[int, ...]) -> int:
        if self.shape(value) == shape:
            return value
        return self.add("RESHAPE", [value, self.graph.ints(shape)], shape)

    def _shuffle(self, value: int, groups: int) -> int:
        *front, channels = shape = self.shape(value)
        apart = self._reshape(value, (*front, groups, channels // groups))
        order = self.graph.ints([0, 1, 2, 4, 3])
        mixed = self.add("TRANSPOSE", [apart, order], (*front, channels // groups, groups))
        return self._reshape(mixed, shape)

    def _conv(
        self, block: int, step: int, op: Op, x: int, shape: tuple[int, ...], act: int
    ) -> int:
        x, padding = self._padded(op, x)
        options = {"padding": padding, "act": act, "dilation_w": 1, "dilation_h": 1}
        options |= {"stride_w": int(op.stride), "stride_h": int(op.stride)}
        kind = "CONV_2D" if op.groups == 1 else "CONV_2D of groups"
        if op.kind == "dwconv":
            kind, options["depth_multiplier"] = "DEPTHWISE_CONV_2D", 1
        return self.add(kind, [x, *self._weights(block, step, op)], shape, **options)

    def _linear(self, block: int, step: int, op: Op, x: int, act: int) -> int:
        if any(size != 1 for size in self.shape(x)[1:-1]):
            raise MissingOpError(f"the TensorFlow Lite writer needs one position; got {op}")
        shape = (self.shape(x)[0], int(op.c_out))
        return self.add("FULLY_CONNECTED", [x, *self._weights(block, step, op)], shape, act=act)

    def _pool(self, op: Op, x: int, shape: tuple[int, ...], act: int) -> int:
        """Torch's average counts the padding and TensorFlow's does not, but at the far edge,
        where an even kernel is cut off, neither does."""
        kernel, average = int(op.kernel), op.kind == "avgpool"
        if average and kernel % 2 == 0:
            if kernel > 2:
                raise MissingOpError(f"the TensorFlow Lite writer has no form for {op}")
            padding = SAME
        elif average:
            x, padding = self._padded(op, x, always=kernel > 1)
        else:
            x, padding = self._padded(op, x, 0.0 if x in self._positive else LOWEST)
        window = {"filter_width": kernel, "filter_height": kernel}
        window |= {"stride_w": int(op.stride), "stride_h": int(op.stride)}
        name = "AVERAGE_POOL_2D" if average else "MAX_POOL_2D"
        return self.add(name, [x], shape, padding=padding, act=act, **window)

    def _padded(self, op: Op, x: int, fill: float = 0.0, always: bool = False) -> tuple[int, int]:
        """Input and padding of an op with a window: `x` and SAME where that is torch's padding,
        else `x` with rows and columns added where windows reach beyond it, and VALID."""
        before, after = 0 if op.valid else (int(op.kernel) - 1) // 2, []
        same = not op.valid
        for size, out in ((op.height, op.out_height), (op.width, op.out_width)):
            # Rows that the windows reach beyond both edges together; SAME gives half of them,
            # rounded down, to the near edge.
            total = max(int((out - 1) * op.stride + op.kernel - size), 0)
            same = same and total // 2 == before
            after.append(max(total - before, 0))
        if same and not always:
            return x, SAME
        if before == max(after) == 0:
            return x, VALID
        n, height, width, channels = self.shape(x)
        pads = [[0, 0], [before, after[0]], [before, after[1]], [0, 0]]
        shape = (n, height + before + after[0], width + before + after[1], channels)
        inputs = [x, self.graph.ints(pads)]
        if not fill:
            return self.add("PAD", inputs, shape), VALID
        inputs.append(self.graph.constant("lowest", np.array([fill], np.float32)))
        return self.add("PADV2", inputs, shape), VALID

    def _weights(self, block: int, step: int, op: Op) -> tuple[int, int]:
        """Weight and bias of an op as constants in TensorFlow's order of dimensions."""
        weight, bias = checked_weights(self.weights, block, step, op)
        if op.kind == "conv":
            weight = weight.transpose(0, 2, 3, 1)  # [c_out, k, k, c_in / groups]
        elif op.kind == "dwconv":
            weight = weight.transpose(1, 2, 3, 0)  # [1, k, k, c_out]
        name = f"b{block}s{step}"
        weight = np.ascontiguousarray(weight)
        return self.graph.constant(f"{name}_w", weight), self.graph.constant(f"{name}_b", bias)
