"""ONNX models of chains of blocks, written straight from `block.steps`.

This writer serves measurement and export. Batch norm is folded: every convolution has a weight and
a bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from latency.engines.lowering import input_shape, walk_block
from latency.engines.weights import Weights, checked_weights, random_weights
from space.common.files import write_atomic
from space.graph.op import Op
from space.network.block import Block
from space.network.network import Network

OPSET = 18
IR_VERSION = 10


def write_onnx(
    network: Network, path: Path, *, batch: int | str = "batch", weights: Weights | None = None
) -> None:
    """Write a network as an ONNX file with input `input` and output `output`, float32, batch norm
    folded.

    Args:
        batch: images per run, or a name for a size that is chosen at run time.
        weights: weight and bias of each convolution, linear layer and lone batch norm; None:
            random ones.

    Raises:
        ValueError: weights of other shapes.
        OSError: `path` cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from space.zoo.families import shufflenet_v2
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "network.onnx"
        ...     write_onnx(shufflenet_v2("0.5"), path, batch=1)
        ...     path.stat().st_size // 10**6  # 1.4 million float32 parameters
        5
    """
    model = build_model(network.blocks, batch=batch, weights=weights, name=network.name)
    write_atomic(path, model.SerializeToString())


def build_model(
    blocks: Sequence[Block],
    *,
    batch: int | str = 1,
    weights: Weights | None = None,
    name: str = "network",
) -> onnx.ModelProto:
    """The chain `blocks` as one model with input `input` and output `output`, float32.

    Args:
        batch, weights: see `write_onnx`.

    Raises:
        ValueError: no blocks, or an op this writer does not know.
    """
    shape_in = input_shape(blocks, batch)
    writer = _Writer(weights or random_weights())
    value = "input"
    for index, block in enumerate(blocks):
        value = writer.block(index, block, value)
    writer.rename(value, "output")
    channels, *size = blocks[-1].out_shape
    shape_out = (
        [batch, channels] if blocks[-1].ops[-1].kind == "linear" else [batch, channels, *size]
    )
    graph = helper.make_graph(
        writer.nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape_in)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape_out)],
        initializer=writer.constants,
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(
        graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="g4nas"
    )


class _Writer:
    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._names: dict[tuple, str] = {}

    def node(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attrs: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), list(outputs), **attrs))
        return outputs[0]

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def shared(self, kind: str, values: tuple[float, ...], dtype: Any) -> str:
        """A small constant, stored once per model."""
        key = (kind, values)
        if key not in self._names:
            array = np.array(values if kind == "ints" else values[0], dtype=dtype)
            self._names[key] = self.constant(f"const{len(self._names)}", array)
        return self._names[key]

    def ints(self, *values: int) -> str:
        return self.shared("ints", values, np.int64)

    def rename(self, old: str, new: str) -> None:
        """Rename a value in every node."""
        for node in self.nodes:
            node.output[:] = [new if name == old else name for name in node.output]
            node.input[:] = [new if name == old else name for name in node.input]

    def block(self, index: int, block: Block, value: str) -> str:
        """Append one block that reads `value`; the name of its output."""

        def split(slices: tuple[int, ...], source: str) -> list[str]:
            sizes = self.ints(*(int(block.steps[i].op.c_out) for i in slices))
            outputs = [f"b{index}s{i}" for i in slices]
            self.node("Split", [source, sizes], outputs, axis=1)
            return outputs

        return walk_block(block, value, write_op=partial(self._op, index), write_split=split)

    def _op(self, block: int, step: int, op: Op, inputs: list[str]) -> str:
        """Append the nodes of one op; the name of its output."""
        kind, kernel, out = op.kind, int(op.kernel), f"b{block}s{step}"
        pad = (kernel - 1) // 2
        window = {
            "kernel_shape": [kernel, kernel],
            "strides": [int(op.stride), int(op.stride)],
            "pads": [pad] * 4,
        }
        raw = f"{out}_raw" if op.act else out
        if kind in ("conv", "dwconv"):
            group = int(op.c_in if kind == "dwconv" else op.groups)
            self.node("Conv", [*inputs, *self._weights(block, step, op, out)], [raw],
                      group=group, **window)  # fmt: skip
        elif kind == "linear":
            flat = self.node("Flatten", inputs, [f"{out}_flat"])
            self.node("Gemm", [flat, *self._weights(block, step, op, out)], [raw], transB=1)
        elif kind == "maxpool":
            self.node("MaxPool", inputs, [raw], **window)
        elif kind == "avgpool":  # counts the padding, as torch.nn.AvgPool2d does
            even = 1 - kernel % 2
            self.node("AveragePool", inputs, [raw], count_include_pad=1 - even, ceil_mode=even,
                      **window)  # fmt: skip
        elif kind == "globalpool":
            self.node("GlobalAveragePool", inputs, [raw])
        elif kind == "shuffle":
            self._shuffle(op, inputs[0], raw)
        elif kind == "concat":
            joined = f"{out}_cat" if op.groups > 1 else raw
            self.node("Concat", inputs, [joined], axis=1)
            if op.groups > 1:
                self._shuffle(op, joined, raw)
        elif kind == "slice":
            ends = (self.ints(int(op.start)), self.ints(int(op.start + op.c_out)), self.ints(1))
            self.node("Slice", [*inputs, *ends], [raw])
        elif kind == "add":
            self.node("Add", inputs, [raw])
        elif kind == "mul":
            scale = self.node("Reshape", [inputs[1], self.ints(-1, int(op.c_out), 1, 1)],
                              [f"{out}_scale"])  # fmt: skip
            self.node("Mul", [inputs[0], scale], [raw])
        elif kind == "batchnorm":
            mean = self.constant(f"{out}_mean", np.zeros(int(op.c_out), np.float32))
            variance = self.constant(f"{out}_var", np.ones(int(op.c_out), np.float32))
            scale_shift = self._weights(block, step, op, out)
            self.node("BatchNormalization", [*inputs, *scale_shift, mean, variance], [raw],
                      epsilon=0.0)  # fmt: skip
        elif kind == "relu":
            self.node("Relu", inputs, [raw])
        else:
            raise ValueError(f"the ONNX writer does not know op kind {kind!r}")
        if op.act in ("relu", "sigmoid"):
            self.node(op.act.capitalize(), [raw], [out])
        elif op.act == "relu6":
            bounds = (self.shared("float", (v,), np.float32) for v in (0.0, 6.0))
            self.node("Clip", [raw, *bounds], [out])
        return out

    def _weights(self, block: int, step: int, op: Op, out: str) -> tuple[str, str]:
        weight, bias = checked_weights(self.weights, block, step, op)
        return self.constant(f"{out}_w", weight), self.constant(f"{out}_b", bias)

    def _shuffle(self, op: Op, value: str, out: str) -> None:
        channels, groups = int(op.c_out), int(op.groups)
        size = (int(op.height), int(op.width))
        split = self.ints(-1, groups, channels // groups, *size)
        apart = self.node("Reshape", [value, split], [f"{out}_split"])
        mixed = self.node("Transpose", [apart], [f"{out}_mix"], perm=[0, 2, 1, 3, 4])
        self.node("Reshape", [mixed, self.ints(-1, channels, *size)], [out])
