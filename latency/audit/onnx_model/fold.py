"""An ONNX model as a flat list of operators for one image, with everything constant folded.

Nodes are taken in an order in which they can run. A node of constants is a constant; the branch
that a constant condition chooses takes the place of its If. Stored shapes of values in between
(value_info) are not read: they may be of another image or batch.
"""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from latency.audit.graph import Shape, format_shape, quiet
from latency.audit.onnx_model.constants import (
    constant_value,
    folded_value,
    sizes_value,
    sparse_value,
)
from latency.audit.onnx_model.open import SMALL, OnnxFile
from latency.audit.onnx_model.order import captured, in_order, label, stored_names, subgraphs
from latency.audit.onnx_model.plain import plain
from latency.audit.onnx_model.values import (
    SAME_SHAPE,
    SHRINKING,
    OnnxRules,
    OnnxValue,
    stored_value,
    tensor_type,
    typed,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxOp:
    """An operator whose result depends on the image.

    `op`: its name, with its domain unless that is ONNX's own. `inputs`, `outputs`: names of
    values; "" where one is left out. `also`: values that its subgraphs read. `node`: the
    NodeProto.
    """

    op: str
    name: str
    attributes: Mapping[str, Any]
    inputs: tuple[str, ...]
    also: tuple[str, ...]
    outputs: tuple[str, ...]
    node: Any

    @property
    def maps(self) -> tuple[str, ...]:
        return tuple(name for name in (*self.inputs, *self.also) if name)


@dataclass(frozen=True, slots=True)
class OnnxProgram:
    """Operators in the order they run, those that lead to an output alone."""

    ops: tuple[OnnxOp, ...]
    values: Mapping[str, OnnxValue]
    image: str
    batch: int
    shape: Shape
    outputs: tuple[str, ...]


def fold(file: OnnxFile) -> OnnxProgram:
    """The operators of a model that depend on its image.

    Raises:
        ValueError: the graph is malformed, or does not take an image of this shape.
    """
    folder = _Folder(file)
    try:
        with quiet():
            scope = folder.run()
    except ValueError as error:
        raise ValueError(f"{file.path}: {error}") from None
    outputs = tuple(scope[output.name] for output in file.model.graph.output)
    needed, live = set(outputs), []
    for op in reversed(folder.ops):
        if needed.intersection(op.outputs):
            needed.update(op.maps)
            live.append(op)
    return OnnxProgram(
        tuple(reversed(live)), folder.values, scope[file.image], file.batch, file.shape, outputs
    )


class _Folder:
    """`values` are by names that are unique in the program; a scope has those of a graph."""

    def __init__(self, file: OnnxFile) -> None:
        self.file = file
        self.rules = OnnxRules.of(file.model)
        self.values: dict[str, OnnxValue] = {}
        self.ops: list[OnnxOp] = []
        self.repeats: Counter[str] = Counter()  # of names in scopes

    def run(self) -> Mapping[str, str]:
        """Take all nodes; returns the names in the program of the graph's values."""
        scope: ChainMap[str, str] = ChainMap()
        image = tensor_type(self.file.image_type, (self.file.batch, *self.file.shape))
        self._define(scope, self.file.image, typed(image))
        self._graph(self.file.model.graph, scope)
        return scope

    def _define(self, scope: MutableMapping[str, str], name: str, value: OnnxValue) -> str:
        unique = name
        while unique in self.values:
            self.repeats[name] += 1
            unique = f"{name}/{self.repeats[name]}"
        if unique != name and name in value.stored:
            stored = {unique if key == name else key: n for key, n in value.stored.items()}
            value = replace(value, stored=stored)
        self.values[unique] = value
        scope[name] = unique
        return unique

    def _graph(self, graph: Any, scope: ChainMap[str, str]) -> None:
        order = in_order(graph, scope)
        for tensor in graph.initializer:
            self._define(scope, tensor.name, stored_value(tensor, self.file.path.parent))
        for sparse in graph.sparse_initializer:
            self._define(scope, sparse.values.name, sparse_value(sparse))
        known = {*stored_names(graph), *scope}
        if unset := [i.name for i in graph.input if i.name not in known]:
            raise ValueError(f"the graph needs a value for {', '.join(unset)}"[:200])
        for node in order:
            self._node(node, scope)

    def _node(self, node: Any, scope: ChainMap[str, str]) -> None:
        attributes = _attributes(node)
        own = node.domain in ("", "ai.onnx")
        given = {name: self.values[scope[name]] for name in (*node.input, *captured(node)) if name}
        if own and node.op_type == "If" and self._branch(node, attributes, given, scope):
            return
        quantises = own and node.op_type == "DynamicQuantizeLinear"
        if quantises and len(node.output) == 3 and len(node.input) == 1 and node.input[0]:
            self._quantize(node, scope)
            return
        free = any(not value.constant for value in given.values())
        outputs = [name for name in node.output if name]
        if free and outputs == node.output[:1] and (nodes := plain(node, attributes)) is not None:
            inner = scope.new_child()  # for the names of values between them
            for simple in nodes:
                self._node(simple, inner)
            scope[outputs[0]] = inner[outputs[0]]
            return
        if own and node.op_type in ("Shape", "Size") and node.input and free:
            if (shape := given[node.input[0]].shape) is not None:
                self._define(scope, node.output[0], sizes_value(node.op_type, shape, attributes))
                return
        results = self._results(node, attributes, given, free)
        names = tuple(
            self._define(scope, name, results[name]) if name else "" for name in node.output
        )
        if free:
            self.ops.append(
                OnnxOp(
                    op=node.op_type if own else f"{node.domain}.{node.op_type}",
                    name=node.name or next(filter(None, names), ""),
                    attributes=attributes,
                    inputs=tuple(scope[name] if name else "" for name in node.input),
                    also=tuple(scope[name] for name in captured(node)),
                    outputs=names,
                    node=node,
                )
            )

    def _branch(
        self,
        node: Any,
        attributes: Mapping[str, Any],
        given: Mapping[str, OnnxValue],
        scope: ChainMap[str, str],
    ) -> bool:
        """Take the nodes of the branch that a constant condition chooses; False: it is not."""
        condition = given[node.input[0]].data if node.input and node.input[0] else None
        if condition is None or condition.size != 1:
            return False
        branch = attributes.get("then_branch" if condition.any() else "else_branch")
        if branch is None or not hasattr(branch, "node") or len(branch.output) < len(node.output):
            raise ValueError(f"{label(node)} must have a branch with its results")
        inner = scope.new_child()
        self._graph(branch, inner)
        for name, output in zip(node.output, branch.output, strict=False):
            scope[name] = inner[output.name]
        return True

    def _quantize(self, node: Any, scope: ChainMap[str, str]) -> None:
        """DynamicQuantizeLinear: the map as it is; scale and zero point stand for constants."""
        from onnx import helper

        result, scale, zero = node.output
        if result:
            self._node(helper.make_node("Identity", [node.input[0]], [result], node.name), scope)
        for name, kind in ((scale, 1), (zero, 2)):
            if name:
                self._define(scope, name, typed(tensor_type(kind, ()), constant=True, scale=True))

    def _results(
        self,
        node: Any,
        attributes: Mapping[str, Any],
        given: Mapping[str, OnnxValue],
        free: bool,
    ) -> dict[str, OnnxValue]:
        """The values of a node's outputs."""
        from onnx import TypeProto

        outputs = [name for name in node.output if name]
        if not given and node.op_type == "Constant" and len(outputs) == 1:
            if (
                found := constant_value(outputs[0], attributes, self.file.path.parent)
            ) is not None:
                return {outputs[0]: found}
        types = self._types(node, given)
        values = {name: typed(types.get(name) or TypeProto()) for name in outputs}
        if free:
            self._check_elements(node, given, values)
            for name, value in values.items():
                if value.shape is not None and min(value.shape, default=1) < 1:
                    raise ValueError(
                        f"{label(node)} leaves nothing of an input of "
                        f"{format_shape(self.file.shape)}, [{', '.join(map(str, value.shape))}]: "
                        f"give a larger one with --input ({name})"[:400]
                    )
            return values
        known: dict[str, Any] = {}
        if not subgraphs(node) and not node.op_type.startswith(("Random", "Bernoulli", "Multi")):
            sizes = [value.shape for value in values.values()]
            if node.op_type in SHRINKING or all(
                (s and prod(s) <= SMALL) or s == () for s in sizes
            ):
                known = self.rules.evaluate(node, given)
        return {
            name: folded_value(node, name, given, value, known.get(name), self.file.filled)
            for name, value in values.items()
        }

    def _check_elements(
        self, node: Any, given: Mapping[str, OnnxValue], values: Mapping[str, OnnxValue]
    ) -> None:
        """Check that a Reshape keeps the number of elements: ONNX's inference does not."""
        if node.op_type != "Reshape" or not node.input or node.input[0] not in given:
            return
        before, after = given[node.input[0]].shape, next(iter(values.values())).shape
        if before is not None and after is not None and prod(before) != prod(after):
            shape = format_shape(self.file.shape)
            raise ValueError(
                f"{label(node)} does not fit an input of {shape}: it makes "
                f"{format_shape(after)} of {format_shape(before)}"
            )

    def _types(self, node: Any, given: Mapping[str, OnnxValue]) -> dict[str, Any]:
        try:
            types = self.rules.infer(node, given)
        except ValueError as error:
            shape = format_shape(self.file.shape)
            raise ValueError(
                f"{label(node)} does not fit an input of {shape}: {error}"[:400]
            ) from None
        first = given.get(node.input[0]) if node.input else None
        if node.op_type in SAME_SHAPE and first is not None and node.output:
            kept = types.get(node.output[0])
            if kept is None or not kept.tensor_type.HasField("shape"):
                types[node.output[0]] = first.type
        return types


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    found: dict[str, Any] = {}
    for attribute in node.attribute:
        try:
            found[attribute.name] = helper.get_attribute_value(attribute)
        except ValueError as error:
            raise ValueError(f"{label(node)} has a malformed attribute: {error}"[:300]) from None
    return found
