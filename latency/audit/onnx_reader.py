"""Nodes of an ONNX file: what each of its operators is to an audit."""

from __future__ import annotations

import ast
from math import prod
from pathlib import Path
from typing import Any

from latency.audit.aten import adaptive_pool
from latency.audit.graph import Node, Shape, Source, format_shape, without_batch
from latency.audit.onnx_model.fold import OnnxOp, OnnxProgram, fold
from latency.audit.onnx_model.open import open_file
from latency.audit.onnx_model.views import gathered, part, without_padding
from space.common.text import shorten

ACTS = {
    "Relu": "relu", "HardSwish": "hardswish", "HardSigmoid": "hardsigmoid", "Sigmoid": "sigmoid",
    "Tanh": "tanh", "LeakyRelu": "leaky_relu", "Elu": "elu", "Selu": "selu", "Celu": "celu",
    "Gelu": "gelu", "Mish": "mish", "Softplus": "softplus", "PRelu": "prelu", "Swish": "silu",
    "Abs": "abs", "Clip": "clamp", "Erf": "erf",
}  # fmt: skip
KINDS = {
    "BatchNormalization": "norm", "Concat": "concat", "MaxPool": "maxpool",
    "AveragePool": "avgpool",
    **dict.fromkeys(("Dropout", "Identity", "Cast", "CastLike"), "pass"),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand"), "reshape"),
}  # fmt: skip
FACTORS = {"Add": "add", "Sum": "add", "Mul": "mul", "Sub": "", "Div": ""}
WEIGHTED = ("Conv", "Gemm", "MatMul")
KNOWN = {
    *ACTS, *KINDS, *FACTORS, *WEIGHTED, "GlobalAveragePool", "ReduceMean", "Split", "Slice",
    "Gather", "Transpose", "Min", "Max",
}  # fmt: skip
# Their constants are sizes and limits, or have no parameter beside their weights and biases.
UNWEIGHTED = ("Reshape", "Clip", "Resize", "Upsample", "Pad", "Expand", "Min", "Max")
# Every constant of these is a parameter, a single number and whole numbers too.
ALL_WEIGHTS = (*WEIGHTED, "BatchNormalization", "PRelu", "InstanceNormalization")


def read_file(path: Path, input_shape: Shape | None) -> Source:
    """The nodes of an ONNX file, for one image.

    Raises:
        ValueError: no ONNX file, or one that contradicts itself; an input without fixed size, or
            of another than `input_shape`.
        OSError: it cannot be read.
    """
    return _Reader(fold(open_file(path, input_shape))).source()


class _Reader:
    def __init__(self, program: OnnxProgram) -> None:
        self.program = without_padding(program)
        self.values = program.values
        self.index = {program.image: 0}
        self.nodes = [Node(kind="input", source="input", name=program.image, shape=program.shape)]
        self.counted: set[str] = set()

    def source(self) -> Source:
        read = {name for op in self.program.ops for name in op.maps} | {*self.program.outputs}
        for op in self.program.ops:
            made = [(n, name) for n, name in enumerate(op.outputs) if name in read]
            split = op.op == "Split" or not made
            first = -1
            for number, name in made:
                if split or first < 0:
                    self.nodes.append(self._node(op, number))
                    first = len(self.nodes) - 1
                else:  # another result of an operator that has one node
                    fields: dict[str, Any] = {"source": op.op, "name": op.name}
                    shape = self._shape(name)
                    self.nodes.append(Node(kind="pass", inputs=(first,), shape=shape, **fields))
                self.index[name] = len(self.nodes) - 1
        outputs = tuple(self.index[name] for name in self.program.outputs if name in self.index)
        held: dict[str, int] = {}
        for op in self.program.ops:
            held |= self._weights(op)
        return Source(tuple(self.nodes), outputs, sum(held.values()), self.nodes[0].shape)

    def _weights(self, op: OnnxOp) -> dict[str, int]:
        """The parameters that an operator reads, with their elements; a batch norm's mean and
        variance are none."""
        found: dict[str, int] = {}
        if op.op in UNWEIGHTED:
            return found
        names = op.inputs[1:3] if op.op == "BatchNormalization" else op.maps
        for value in (self.values[name] for name in names if name):
            if value.constant and (op.op in ALL_WEIGHTS or value.is_float):
                several = value.shape is None or prod(value.shape) > 1
                found |= value.stored if several or op.op in ALL_WEIGHTS else {}
        return found

    def _shape(self, name: str) -> Shape:
        return without_batch(self.values[name].shape or (), self.program.batch)

    def _node(self, op: OnnxOp, number: int) -> Node:
        inputs = tuple(self.index[name] for name in op.maps if name in self.index)
        fields: dict[str, Any] = {
            "source": op.op,
            "name": op.name or op.outputs[number],
            "inputs": inputs,
            "shape": self._shape(op.outputs[number]),
            "modules": _modules(op.node),
        }
        free = (n for n in op.maps if not self.values[n].constant)
        if any(self.values[n].shape is None for n in (op.outputs[number], *free)):
            # An operator that is not known is no better known with a shape.
            kinds = {"kind": "unknown", "missing": "no fixed shape" if op.op in KNOWN else ""}
        else:
            kinds = self._kind(op, number) or {"kind": "unknown"}
        if kinds["kind"] not in ("pass", "reshape"):
            new = {n: size for n, size in self._weights(op).items() if n not in self.counted}
            self.counted.update(new)
            fields["params"] = sum(new.values())
        return Node(**{**fields, **kinds})

    def _kind(self, op: OnnxOp, number: int) -> dict[str, Any] | None:
        name, attributes = op.op, op.attributes
        if not op.inputs or not op.inputs[0] or op.also:
            return None
        before, after = self._shape(op.inputs[0]), self._shape(op.outputs[number])
        if name in ("Clip", "Min", "Max"):
            return self._limits(op)
        if name in ACTS:
            return {"kind": "act", "act": ACTS[name]}
        if name in WEIGHTED:
            return self._conv(op, before) if name == "Conv" else self._linear(op, before)
        if name in FACTORS:
            maps = [n for n in op.inputs if n in self.index]
            if len(maps) > 1:
                return {"kind": FACTORS[name]} if FACTORS[name] else None
            return None if name == "Div" and maps[0] != op.inputs[0] else {"kind": "affine"}
        if name in ("MaxPool", "AveragePool"):
            kernel, stride = pair(op, "kernel_shape"), pair(op, "strides", (1, 1))
            if kernel is None or stride is None or len(before) != 3:
                return None
            if name == "AveragePool" and kernel == before[1:] and after[1:] == (1, 1):
                return {"kind": "globalpool"}
            return {"kind": KINDS[name], "kernel": kernel, "stride": stride}
        if name in ("GlobalAveragePool", "ReduceMean"):
            full = len(before) == 3 and prod(after) == before[0] and after[:1] == before[:1]
            return adaptive_pool(before[1:], (1, 1)) if full else None
        if name in ("Split", "Slice"):
            return part(op, number, self.values, before, after)
        if name == "Gather":
            return gathered(op, self.values, before)
        if name in ("Pad", "Resize", "Upsample"):
            return {"kind": "pass"} if before == after else None
        if name == "Transpose":
            return {"kind": "transpose", "perm": tuple(_integers(attributes.get("perm")) or ())}
        return {"kind": KINDS[name]} if name in KINDS else None

    def _conv(self, op: OnnxOp, before: Shape) -> dict[str, Any] | None:
        weight = self._full(op, 1)
        if len(weight) != 4 or len(before) != 3:
            return None
        groups, stride = op.attributes.get("group", 1), pair(op, "strides", (1, 1))
        if not isinstance(groups, int) or groups < 1 or weight[0] % groups or stride is None:
            raise ValueError(f"{_label(op)} must have groups that divide {weight[0]} and strides")
        self._check_channels(op, weight[1] * groups, before[0])
        fields = {"kind": "conv", "kernel": weight[2:], "stride": stride, "groups": groups}
        return {**fields, "bias": len(op.inputs) > 2 and bool(op.inputs[2])}

    def _linear(self, op: OnnxOp, before: Shape) -> dict[str, Any] | None:
        weight, flipped = self._full(op, 1), bool(op.attributes.get("transB", 0))
        constant = len(op.inputs) > 1 and bool(op.inputs[1]) and self.values[op.inputs[1]].constant
        if not constant or len(weight) != 2 or not before or op.attributes.get("transA"):
            return None
        self._check_channels(op, weight[int(flipped)], before[-1])
        return {"kind": "linear", "bias": len(op.inputs) > 2}

    def _full(self, op: OnnxOp, position: int) -> Shape:
        """The shape of an input, batch included; () if there is none."""
        name = op.inputs[position] if len(op.inputs) > position else ""
        return (self.values[name].shape or ()) if name else ()

    def _check_channels(self, op: OnnxOp, channels: int, got: int) -> None:
        """Check the channels of an input: ONNX's inference does not."""
        if channels != got:
            raise ValueError(
                f"{_label(op)} takes {channels} channels; an input of "
                f"{format_shape(self.nodes[0].shape)} gives it {got}"
            )

    def _limits(self, op: OnnxOp) -> dict[str, Any] | None:
        """Clip, and Min and Max of a map and a number."""
        if op.op != "Clip":
            sizes = [self.values[n] for n in op.inputs if n not in self.index]
            one = len(op.inputs) == 2 and len(sizes) == 1 and prod(sizes[0].shape or (0,)) == 1
            return {"kind": "act", "act": "clamp"} if one else None
        limits: list[Any] = []
        for position, word in enumerate(("min", "max"), start=1):
            name = op.inputs[position] if len(op.inputs) > position else ""
            data = self.values[name].data if name else None
            given = data.ravel()[0] if data is not None and data.size else None
            limits.append(op.attributes.get(word) if given is None else given)
        if limits[0] != 0:
            return {"kind": "act", "act": "clamp"}
        return {"kind": "act", "act": {6.0: "relu6", None: "relu"}.get(limits[1], "clamp")}


def _label(op: OnnxOp) -> str:
    return f"{op.op} {shorten(op.name)[1:-1]}"


def _integers(value: Any) -> list[int] | None:
    good = isinstance(value, list) and all(isinstance(item, int) for item in value)
    return value if good else None


def pair(op: OnnxOp, name: str, default: tuple[int, int] | None = None) -> tuple[int, int] | None:
    """An attribute of two sizes; None: it is of other axes."""
    found = _integers(op.attributes.get(name, list(default or ())))
    if found is None or len(found) != 2 or min(found) < 1:
        return None
    return found[0], found[1]


def _modules(node: Any) -> tuple[tuple[str, str], ...]:
    """The module path that torch's exporter stores with a node, without the node."""
    stored = {p.key.rpartition(".")[2]: p.value for p in node.metadata_props}
    try:
        paths = ast.literal_eval(stored["name_scopes"])
        kinds = ast.literal_eval(stored["class_hierarchy"])
    except (KeyError, MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        return ()
    if not isinstance(paths, list) or not isinstance(kinds, list):
        return ()
    return tuple(
        (str(path).partition("@")[0], str(kind)) for path, kind in zip(paths, kinds, strict=False)
    )[:-1]
