"""Nodes of an ONNX file, with the shapes that ONNX's own inference gives."""

from __future__ import annotations

import ast
from math import prod
from pathlib import Path
from typing import Any

from latency.audit.aten import adaptive_pool
from latency.audit.graph import Node, Shape, Source, format_shape, without_batch

ACTS = {
    "Relu": "relu", "HardSwish": "hardswish", "HardSigmoid": "hardsigmoid", "Sigmoid": "sigmoid",
    "Tanh": "tanh", "LeakyRelu": "leaky_relu", "Elu": "elu", "Selu": "selu", "Celu": "celu",
    "Gelu": "gelu", "Mish": "mish", "Softplus": "softplus", "PRelu": "prelu", "Swish": "silu",
    "Abs": "abs", "Clip": "clamp", "Erf": "erf",
}  # fmt: skip
KINDS = {
    "BatchNormalization": "norm", "Concat": "concat", "MaxPool": "maxpool",
    "AveragePool": "avgpool",
    **dict.fromkeys(("Dropout", "Identity", "Cast"), "pass"),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), "reshape"),
}  # fmt: skip
FACTORS = {"Add": "add", "Sum": "add", "Mul": "mul", "Sub": "", "Div": ""}


def read_file(path: Path, input_shape: Shape | None) -> Source:
    """The nodes of an ONNX file.

    Raises:
        ValueError: no ONNX file; an input without fixed size, or of another than `input_shape`.
    """
    import onnx
    from onnx import shape_inference

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        if isinstance(error, OSError):
            raise
        raise ValueError(f"{path} is not an ONNX file: it cannot be parsed") from None
    if not model.graph.node:
        raise ValueError(f"{path} is not an ONNX file: it has no graph")
    shape = _fix_input(model, path, input_shape)
    try:
        model = shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:
        why = str(error).strip().splitlines()
        raise ValueError(
            f"{path}: shapes of an input of {format_shape(shape)} cannot be inferred: "
            f"{why[-1] if why else type(error).__name__}"
        ) from None
    return _Reader(model.graph, shape).source()


def _fix_input(model: Any, path: Path, requested: Shape | None) -> Shape:
    """Set the size of the model's image input, batch 1; return it without the batch."""
    constants = {t.name for t in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(i.name for i in inputs) or "none"
        raise ValueError(f"{path} must have one input, a batch of images; it has {names}")
    dims = inputs[0].type.tensor_type.shape.dim
    sizes = [d.dim_value if d.dim_value > 0 else d.dim_param or "?" for d in dims]
    text = "x".join(map(str, sizes)) or "unknown"
    if len(dims) != 4:
        raise ValueError(
            f"input {inputs[0].name} of {path} must be a batch of images, [n, channels, h, w]; "
            f"it is {text}"
        )
    fixed = [size for size in sizes[1:] if isinstance(size, int)]
    if requested is None and len(fixed) < 3:
        raise ValueError(
            f"input {inputs[0].name} of {path} has no fixed size ({text}): give it with --input "
            "CHANNELSxHEIGHTxWIDTH"
        )
    shape = requested or tuple(fixed)
    if any(isinstance(g, int) and g != w for g, w in zip(sizes[1:], shape, strict=True)):
        raise ValueError(
            f"input {inputs[0].name} of {path} is {text}; got --input {format_shape(shape)}"
        )
    for dim, size in zip(dims, (dims[0].dim_value or 1, *shape), strict=True):
        dim.dim_value = size
    return shape


class _Reader:
    def __init__(self, graph: Any, shape: Shape) -> None:
        from onnx import helper, numpy_helper

        self.graph = graph
        self.to_array, self.attribute = numpy_helper.to_array, helper.get_attribute_value
        self.constants: dict[str, int] = {t.name: prod(t.dims) for t in graph.initializer}
        self.stored = {t.name: t for t in graph.initializer}
        self.floats = {t.name for t in graph.initializer if t.data_type in (1, 10, 11, 16)}
        self.shapes = {t.name: tuple(t.dims) for t in graph.initializer}
        for info in (*graph.input, *graph.value_info, *graph.output):
            tensor = info.type.tensor_type
            if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
                self.shapes[info.name] = tuple(d.dim_value for d in tensor.shape.dim)
        image = next(i.name for i in graph.input if i.name not in self.constants)
        self.batch = self.shapes[image][0]
        self.index = {image: 0}
        self.nodes = [Node(kind="input", source="input", name=image, shape=shape)]
        self.counted: set[str] = set()

    def source(self) -> Source:
        for node in self.graph.node:
            if not any(name in self.index for name in node.input):
                for name in node.output:  # made of constants: a constant
                    self.constants[name] = prod(self.shapes.get(name, ()))
                    made = node.op_type in ("Constant", "ConstantOfShape")
                    if made or any(n in self.floats for n in node.input):
                        self.floats.add(name)
                    if node.op_type == "Constant" and node.attribute[0].name == "value":
                        self.stored[name] = node.attribute[0].t
                continue
            for number, name in enumerate(node.output):
                if name and (not number or node.op_type == "Split"):
                    self.nodes.append(self._node(node, number))
                    self.index[name] = len(self.nodes) - 1
        outputs = tuple(self.index[o.name] for o in self.graph.output if o.name in self.index)
        live = [node for node in self.graph.node if any(n in self.index for n in node.input)]
        held = sum(self.constants[n] for n in {n for node in live for n in self._weights(node)})
        return Source(tuple(self.nodes), outputs, held, self.nodes[0].shape)

    def _weights(self, node: Any) -> tuple[str, ...]:
        """Parameters among a node's inputs; a batch norm's mean and variance are not."""
        names = node.input[1:3] if node.op_type == "BatchNormalization" else node.input
        if node.op_type in ("Reshape", "Clip", "Resize", "Pad"):
            return ()
        return tuple(n for n in names if n in self.floats and self.constants[n] > 1)

    def _node(self, node: Any, number: int) -> Node:
        attributes = {a.name: self.attribute(a) for a in node.attribute}
        full = self.shapes.get(node.output[number])
        fields: dict[str, Any] = {
            "source": f"{node.domain}.{node.op_type}" if node.domain else node.op_type,
            "name": node.name or node.output[number],
            "inputs": tuple(self.index[name] for name in node.input if name in self.index),
            "shape": without_batch(full or (), self.batch),
            "modules": _modules(node),
        }
        kinds = None
        if full is None or any(s in self.index and s not in self.shapes for s in node.input):
            kinds = {"kind": "unknown", "missing": "no fixed shape"}
        elif not node.domain or node.domain == "ai.onnx":
            kinds = self._kind(node, number, attributes)
        kinds = kinds or {"kind": "unknown"}
        if kinds["kind"] not in ("pass", "reshape"):
            new = [name for name in self._weights(node) if name not in self.counted]
            self.counted.update(new)
            fields["params"] = sum(self.constants[name] for name in new)
        return Node(**{**fields, **kinds})

    def _kind(self, node: Any, number: int, attributes: dict[str, Any]) -> dict[str, Any] | None:
        name = node.op_type
        before = without_batch(self.shapes.get(node.input[0], ()), self.batch)
        after = without_batch(self.shapes[node.output[number]], self.batch)
        if name == "Clip":
            return {"kind": "act", "act": self._clip(node, attributes)}
        if name in ACTS:
            return {"kind": "act", "act": ACTS[name]}
        if name in ("Conv", "Gemm", "MatMul"):
            return self._weighted(node, attributes, before)
        if name in FACTORS:
            maps = [n for n in node.input if n in self.index]
            if len(maps) > 1:
                return {"kind": FACTORS[name]} if FACTORS[name] else None
            return None if name == "Div" and maps[0] != node.input[0] else {"kind": "affine"}
        if name in ("MaxPool", "AveragePool"):
            kernel = tuple(attributes["kernel_shape"])
            stride = tuple(attributes.get("strides", (1, 1)))
            if len(kernel) != 2:
                return None
            if name == "AveragePool" and kernel == before[1:] and after[1:] == (1, 1):
                return {"kind": "globalpool"}
            return {"kind": KINDS[name], "kernel": kernel, "stride": stride}
        if name in ("GlobalAveragePool", "ReduceMean"):
            full = len(before) == 3 and prod(after) == before[0] and after[:1] == before[:1]
            return adaptive_pool(before[1:], (1, 1)) if full else None
        if name in ("Split", "Slice"):
            return self._part(node, number, attributes, before, after)
        if name == "Transpose":
            return {"kind": "transpose", "perm": tuple(attributes.get("perm", ()))}
        return {"kind": KINDS[name]} if name in KINDS else None

    def _weighted(
        self, node: Any, attributes: dict[str, Any], before: Shape
    ) -> dict[str, Any] | None:
        weight = self.shapes.get(node.input[1], ())
        constant = node.input[1] in self.constants
        if node.op_type != "Conv":
            if not constant or len(weight) != 2:
                return None
            self._check_channels(node, weight[int(attributes.get("transB", 0))], before[-1])
            return {"kind": "linear", "bias": len(node.input) > 2}
        if len(weight) != 4 or len(before) != 3:
            return None
        groups, strides = attributes.get("group", 1), tuple(attributes.get("strides", (1, 1)))
        self._check_channels(node, weight[1] * groups, before[0])
        fields = {"kind": "conv", "kernel": weight[2:], "stride": strides, "groups": groups}
        return {**fields, "bias": len(node.input) > 2 and bool(node.input[2])}

    def _check_channels(self, node: Any, channels: int, got: int) -> None:
        """Check the channels of an input: ONNX's inference does not."""
        if channels != got:
            raise ValueError(
                f"{node.op_type} {node.name or node.output[0]} takes {channels} channels; an "
                f"input of {format_shape(self.nodes[0].shape)} gives it {got}"
            )

    def _part(
        self, node: Any, number: int, attributes: dict[str, Any], before: Shape, after: Shape
    ) -> dict[str, Any]:
        """A slice of channels; of another axis, a view."""
        if len(before) != 3 or before[1:] != after[1:]:
            return {"kind": "reshape"}
        if node.op_type == "Split":
            parts = [self.shapes[name] for name in node.output[:number]]
            return {"kind": "slice", "start": sum(part[1] for part in parts)}
        starts = attributes.get("starts")
        if len(node.input) > 1:
            starts = self._value(node.input[1]) if node.input[1] in self.stored else None
        start = int(starts[0]) if starts is not None and len(starts) == 1 else 0
        return {"kind": "slice", "start": start % before[0]}

    def _clip(self, node: Any, attributes: dict[str, Any]) -> str:
        limits = []
        for position, word in enumerate(("min", "max"), start=1):
            name = node.input[position] if len(node.input) > position else ""
            limits.append(self._value(name)[0] if name in self.stored else attributes.get(word))
        if limits[0] != 0:
            return "clamp"
        return {6.0: "relu6", None: "relu"}.get(limits[1], "clamp")

    def _value(self, name: str) -> Any:
        return self.to_array(self.stored[name]).ravel()


def _modules(node: Any) -> tuple[tuple[str, str], ...]:
    """The module path that torch's exporter stores with a node, without the node."""
    stored = {p.key.rpartition(".")[2]: p.value for p in node.metadata_props}
    try:
        paths = ast.literal_eval(stored["name_scopes"])
        kinds = ast.literal_eval(stored["class_hierarchy"])
    except (KeyError, SyntaxError, ValueError):
        return ()
    return tuple(
        (path.partition("@")[0], str(kind)) for path, kind in zip(paths, kinds, strict=False)
    )[:-1]
