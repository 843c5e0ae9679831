"""ONNX models of chains of blocks, written straight from `block.steps`.

This writer serves measurement and export. Batch norm is folded: every convolution has a weight and
a bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from latency.engines.lowering import input_shape, walk_chain
from latency.engines.weights import (
    NORM_EPSILON,
    NORM_VARIANCE,
    Weights,
    checked_weights,
    conv_groups,
    random_weights,
)
from space.common.files import write_atomic
from space.graph.op import Op
from space.network.block import Block
from space.network.network import Network

OPSET = 18
IR_VERSION = 10
PLAIN = {
    "globalpool": "GlobalAveragePool", "add": "Add", "relu": "Relu", "flatten": "Flatten",
}  # fmt: skip
# Activation -> ONNX operator and its attributes. ReLU6 and SiLU are more than one operator.
ACTIVATIONS: dict[str, tuple[str, dict[str, float]]] = {
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "hardswish": ("HardSwish", {}),
    "hardsigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
}


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
    """The chain `blocks` as one model, as `write_onnx` writes it.

    Raises:
        ValueError: no blocks, weights of other shapes, or an op this writer does not know.
    """
    shape_in = input_shape(blocks, batch)
    writer = _Writer(weights or random_weights())
    last = walk_chain(blocks, "input", write_op=writer.op, write_split=writer.split)
    for node in writer.nodes:
        node.output[:] = ["output" if name == last else name for name in node.output]
        node.input[:] = ["output" if name == last else name for name in node.input]
    channels, *size = blocks[-1].out_shape
    flat = blocks[-1].ops[-1].kind in ("linear", "flatten")
    shape_out = [batch, channels, *([] if flat else size)]
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
        self._names: dict[int | float | tuple[int, ...], str] = {}

    def node(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attrs: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), list(outputs), **attrs))
        return outputs[0]

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def shared(self, value: float | tuple[int, ...]) -> str:
        """A small constant, stored once per model: a float32 or a row of int64."""
        if value not in self._names:
            dtype = np.int64 if isinstance(value, tuple) else np.float32
            name = f"const{len(self._names)}"
            self._names[value] = self.constant(name, np.array(value, dtype=dtype))
        return self._names[value]

    def ints(self, *values: int) -> str:
        return self.shared(values)

    def split(self, block: int, slices: dict[int, int], value: str) -> list[str]:
        outputs = [f"b{block}s{i}" for i in slices]
        self.node("Split", [value, self.ints(*slices.values())], outputs, axis=1)
        return outputs

    def op(self, block: int, step: int, op: Op, inputs: list[str]) -> str:
        """Append the nodes of one op; the name of its output."""
        kind, kernel, out = op.kind, int(op.kernel), f"b{block}s{step}"
        window: dict[str, Any] = {
            "kernel_shape": [kernel] * 2,
            "strides": [int(op.stride)] * 2,
            "pads": [0 if op.valid else (kernel - 1) // 2] * 4,
        }
        raw = f"{out}_raw" if op.act else out
        if kind in ("conv", "dwconv"):
            constants = self._weights(block, step, op)
            self.node("Conv", [*inputs, *constants], [raw], group=conv_groups(op), **window)
        elif kind == "linear":
            flat = self.node("Flatten", inputs, [f"{out}_flat"])
            self.node("Gemm", [flat, *self._weights(block, step, op)], [raw], transB=1)
        elif kind == "maxpool":
            self.node("MaxPool", inputs, [raw], **window, ceil_mode=op.valid)
        elif kind == "avgpool":  # counts the padding, as torch.nn.AvgPool2d does
            odd = kernel % 2
            window |= {"count_include_pad": odd, "ceil_mode": 1 - odd}
            self.node("AveragePool", inputs, [raw], **window)
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
        elif kind == "mul":
            shape = self.ints(-1, int(op.c_out), 1, 1)
            scale = self.node("Reshape", [inputs[1], shape], [f"{out}_scale"])
            self.node("Mul", [inputs[0], scale], [raw])
        elif kind == "batchnorm":
            mean = self.constant(f"{out}_mean", np.zeros(int(op.c_out), np.float32))
            variances = np.full(int(op.c_out), NORM_VARIANCE, np.float32)
            variance = self.constant(f"{out}_var", variances)
            constants = [*self._weights(block, step, op), mean, variance]
            self.node("BatchNormalization", [*inputs, *constants], [raw], epsilon=NORM_EPSILON)
        elif kind in PLAIN:
            self.node(PLAIN[kind], inputs, [raw])
        else:
            raise ValueError(f"the ONNX writer does not know op kind {kind!r}")
        if op.act:
            self._activate(op.act, raw, out)
        return out

    def _activate(self, act: str, value: str, out: str) -> None:
        if act == "relu6":
            self.node("Clip", [value, self.shared(0.0), self.shared(6.0)], [out])
        elif act == "silu":  # as torch exports it; ONNX Runtime fuses the two
            gate = self.node("Sigmoid", [value], [f"{out}_gate"])
            self.node("Mul", [value, gate], [out])
        else:
            kind, attributes = ACTIVATIONS[act]
            self.node(kind, [value], [out], **attributes)

    def _weights(self, block: int, step: int, op: Op) -> list[str]:
        arrays = checked_weights(self.weights, block, step, op)
        names = (f"b{block}s{step}_w", f"b{block}s{step}_b")
        return [self.constant(name, array) for name, array in zip(names, arrays, strict=True)]

    def _shuffle(self, op: Op, value: str, out: str) -> None:
        channels, groups = int(op.c_out), int(op.groups)
        size = (int(op.height), int(op.width))
        split = self.ints(-1, groups, channels // groups, *size)
        apart = self.node("Reshape", [value, split], [f"{out}_split"])
        mixed = self.node("Transpose", [apart], [f"{out}_mix"], perm=[0, 2, 1, 3, 4])
        self.node("Reshape", [mixed, self.ints(-1, channels, *size)], [out])
