"""ONNX models in int8: ONNX Runtime's static quantisation, written from the float32 model.

The graph is the one that `onnxruntime.quantization.quantize_static` leaves in QOperator format
(and that ONNX Runtime makes of its QDQ format when it loads it): activations in uint8, weights in
int8 with a scale per output channel. That tool takes seconds a model; a table needs thousands.
Weights have 7 bits, as ONNX Runtime's documentation asks for on x86 without VNNI, where products
of 8 bits overflow. The ranges of activations come from seeded random images, as latencies do: they
decide a model's outputs, not its latency.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Ranges = Mapping[str, tuple[float, float]]

CONTRIB = "com.microsoft"  # ONNX Runtime's own operators
WEIGHT_MAX = 64  # 7 bits
SEED = 1  # of the images; measured inputs have seed 0
VIEWS = ("Split", "Slice", "Reshape", "Transpose", "Flatten", "MaxPool")  # do not change the scale
ACTIVATIONS = ("Relu", "Clip")
POOLS = ("AveragePool", "GlobalAveragePool")
QUANTISED = (*POOLS, "Conv", "Gemm", "Concat", "Add", "Mul", "Sigmoid")


def quantised(model: onnx.ModelProto, ranges: Ranges) -> onnx.ModelProto:
    """A model of `latency.engines.onnx.writer` in int8; its input and output stay float32.
    `ranges`: see `value_ranges`."""
    writer = _Quantiser(model, dict(ranges))
    for node in model.graph.node:
        writer.node(node)
    writer.floating("output")
    graph = helper.make_graph(
        writer.nodes,
        model.graph.name,
        model.graph.input,
        model.graph.output,
        initializer=writer.constants,
    )
    opsets = [*model.opset_import, helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=model.ir_version,
        producer_name=model.producer_name,
    )  # fmt: skip


def scale_and_zero(low: float, high: float) -> tuple[np.float32, np.uint8]:
    """Scale and zero point of a uint8 value between `low` and `high`; zero is exact."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255 or 1.0)
    return scale, np.uint8(np.clip(np.rint(-low / scale), 0, 255))


def value_ranges(model: onnx.ModelProto) -> dict[str, tuple[float, float]]:
    """Smallest and largest element of a float32 model's input and of every node's output, by
    name."""
    import onnxruntime

    names = [name for node in model.graph.node for name in node.output]
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (entry,) = model.graph.input
    shape = [d.dim_value for d in entry.type.tensor_type.shape.dim]
    images = np.random.default_rng(SEED).random(shape, dtype=np.float32)
    arrays = [images, *session.run(names, {"input": images})]
    pairs = zip(["input", *names], arrays, strict=True)
    return {name: (float(array.min()), float(array.max())) for name, array in pairs}


class _Quantiser:
    def __init__(self, model: onnx.ModelProto, ranges: dict[str, tuple[float, float]]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.ranges = ranges
        self._weights = {t.name: t for t in model.graph.initializer}
        self._readers = Counter(name for node in model.graph.node for name in node.input)
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._quantised: dict[str, str] = {}  # value -> its uint8 tensor
        self._floats = {"input"}  # values that exist in float32
        self._scales: dict[str, str] = {}  # value -> the value whose scale it has
        acts = (node for node in model.graph.node if node.op_type in ACTIVATIONS)
        self._folded = {node.output[0] for node in acts if self._fold(node)}

    def _fold(self, node: onnx.NodeProto) -> bool:
        """Fold an activation into the range of the node before it, if possible: values outside
        saturate."""
        value, reached = node.input[0], self.ranges[node.output[0]]
        while self._readers[value] == 1 and value in self._makers:
            maker = self._makers[value]
            if maker.op_type in QUANTISED:
                self.ranges[value] = reached
                return True
            if maker.op_type not in VIEWS or len(maker.output) > 1:
                break
            value = maker.input[0]
        return False

    def emit(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", **a: Any
    ) -> None:
        self.nodes.append(helper.make_node(kind, list(inputs), list(outputs), domain=domain, **a))

    def constant(self, name: str, value: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _copy(self, name: str) -> str:
        """Take over a constant of the float32 model unchanged."""
        if name in self._weights:
            self.constants.append(self._weights.pop(name))
        return name

    def quantised(self, value: str) -> str:
        """The uint8 tensor of a value."""
        if value not in self._quantised:
            self._quantised[value] = f"{value}_q"
            self.emit("QuantizeLinear", [value, *self.scale(value)], [f"{value}_q"])
        return self._quantised[value]

    def floating(self, value: str) -> str:
        """The float32 tensor of a value."""
        if value not in self._floats:
            self._floats.add(value)
            source = [self._quantised[value], *self.scale(value)]
            self.emit("DequantizeLinear", source, [value])
        return value

    def scale(self, value: str) -> tuple[str, str]:
        """Names of a value's scale and zero point."""
        if value not in self._scales:
            self._scales[value] = value
            scale, zero = scale_and_zero(*self.ranges[value])
            self.constant(f"{value}_scale", scale)
            self.constant(f"{value}_zero", zero)
        owner = self._scales[value]
        return f"{owner}_scale", f"{owner}_zero"

    def _operand(self, value: str) -> list[str]:
        """The operands of a value: tensor, scale, zero point."""
        return [self.quantised(value), *self.scale(value)]

    def node(self, node: onnx.NodeProto) -> None:
        """Append the int8 form of a float32 node."""
        kind, (value, *others), out = node.op_type, node.input, node.output[0]
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if out in self._folded:  # the node before it has this range already
            self._same(value, [out])
            self._quantised[out] = self._quantised[value]
        elif kind in VIEWS:
            constants = [self._copy(name) for name in others]
            self._same(value, node.output)
            tensor = self.quantised(value)
            outputs = [self._made(name) for name in node.output]
            self.emit(kind, [tensor, *constants], outputs, **attributes)
        elif kind in ("Conv", "Gemm"):
            self._weighted(kind, value, (others[0], others[1]), out, attributes)
        elif kind in QUANTISED:
            if kind in POOLS:
                attributes["channels_last"] = 0
            parts = [part for name in node.input for part in self._operand(name)]
            scale = self.scale(out)
            inputs = [*scale, *parts] if kind == "Concat" else [*parts, *scale]
            self.emit(f"QLinear{kind}", inputs, [self._made(out)], CONTRIB, **attributes)
        else:  # ONNX Runtime has no uint8 operator for it
            constants = [self._copy(name) for name in others]
            self._floats.add(out)
            self.emit(kind, [self.floating(value), *constants], [out], **attributes)

    def _made(self, value: str) -> str:
        self._quantised[value] = f"{value}_q"
        return self._quantised[value]

    def _same(self, source: str, values: Sequence[str]) -> None:
        """Give values the scale of `source`."""
        self.scale(source)
        for value in values:
            self._scales[value] = self._scales[source]

    def _weighted(
        self, kind: str, value: str, names: tuple[str, str], out: str, attributes: dict[str, Any]
    ) -> None:
        """A convolution or linear layer."""
        weight, bias = (numpy_helper.to_array(self._weights[name]) for name in names)
        flat = weight.reshape(len(weight), -1)
        scale = (np.abs(flat).max(axis=1) / WEIGHT_MAX).astype(np.float32)
        scale[scale == 0] = 1
        rounded = np.rint(flat / scale[:, None]).astype(np.int8).reshape(weight.shape)
        self.scale(value)
        input_scale, _ = scale_and_zero(*self.ranges[self._scales[value]])
        rounded_bias = np.rint(bias.astype(np.float64) / (scale.astype(np.float64) * input_scale))
        limits = np.iinfo(np.int32)
        tensors = [
            self.constant(names[0], rounded),
            self.constant(f"{names[0]}_scale", scale),
            self.constant(f"{names[0]}_zero", np.zeros(len(scale), np.int8)),
        ]
        c = self.constant(names[1], np.clip(rounded_bias, limits.min, limits.max).astype(np.int32))
        y = self.scale(out)
        inputs = [*self._operand(value), *tensors]
        if kind == "Conv":
            self.emit("QLinearConv", [*inputs, *y, c], [self._made(out)], **attributes)
        else:
            self.emit("QGemm", [*inputs, c, *y], [self._made(out)], CONTRIB, **attributes)
