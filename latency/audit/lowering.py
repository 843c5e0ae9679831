"""From nodes to layers: what inference runs as one op, and what each reads.

Batch norm and constant factors are folded into the convolution before them, and an activation into
the layer before it, if nothing else reads the value in between. A 1x1 convolution of a 1x1 map is
a linear layer; a linear layer over many positions is a 1x1 convolution; x * f(x) is an activation.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from latency.audit.foreign_op import make_op, planes
from latency.audit.graph import Node, Shape, Source
from space.graph.op import Op

ABSORB = ("conv", "dwconv", "linear", "batchnorm")
GATES = {"sigmoid": "silu", "hardsigmoid": "hardswish", "relu6": "hardswish", "tanh": "mish"}
GATES |= {"clamp": "hardswish", "erf": "gelu"}


@dataclass(frozen=True, slots=True)
class Layer:
    """An op (None: unknown) and the layers that it reads, -1 for the model's input.

    `act` is the activation in the model; `op.act` is one of equal cost.
    """

    name: str
    op: Op | None
    inputs: tuple[int, ...]
    modules: tuple[tuple[str, str], ...]
    source: str
    shape: Shape
    act: str = ""
    missing: str = ""


@dataclass(slots=True)
class _Draft:
    """A layer that may absorb the next nodes."""

    kind: str
    node: Node
    inputs: tuple[int, ...]
    taken: tuple[Shape, ...]
    act: str = ""
    norm: str = "none"
    params: int = 0
    groups: int = 1
    absorbed: list[str] = field(default_factory=list)


def lower(source: Source) -> tuple[Layer, ...]:
    """The layers of a model in the order they run."""
    nodes = _gates(_without_dead_views(source.nodes, source.outputs), source.outputs)
    return tuple(_finish(draft) for draft in _Lowering(nodes, source.outputs).drafts)


def _uses(nodes: tuple[Node, ...], outputs: tuple[int, ...]) -> Counter[int]:
    uses = Counter(i for node in nodes for i in node.inputs)
    uses.update(outputs)
    return uses


def _without_dead_views(nodes: tuple[Node, ...], outputs: tuple[int, ...]) -> tuple[Node, ...]:
    """The nodes, where views without a reader (other outputs of a batch norm) read nothing."""
    live, uses = list(nodes), _uses(nodes, outputs)
    for index in range(len(live) - 1, -1, -1):
        if live[index].kind in ("pass", "slice", "reshape", "transpose") and not uses[index]:
            uses.subtract(live[index].inputs)
            live[index] = replace(live[index], kind="pass", inputs=())
    return tuple(live)


def _gates(source: tuple[Node, ...], outputs: tuple[int, ...]) -> tuple[Node, ...]:
    """The nodes with x * f(x) as one activation, where f has activations and constants only."""
    nodes, uses = list(source), _uses(source, outputs)
    for index, node in enumerate(nodes):
        if node.kind != "mul" or len(node.inputs) != 2:
            continue
        for gate, x in (node.inputs, node.inputs[::-1]):
            names, at, roots = [], gate, [x]
            while nodes[roots[-1]].kind == "affine" and uses[roots[-1]] == 1:
                roots.append(nodes[roots[-1]].inputs[0])
            while at not in roots and nodes[at].kind in ("act", "affine") and uses[at] == 1:
                names += [nodes[at].act] if nodes[at].act else []
                at = nodes[at].inputs[0]
            if at in roots and names:
                act = GATES.get(names[0], names[0])
                nodes[index] = replace(node, kind="act", act=act, inputs=(at,))
                for gone in (gate, x):
                    while gone != at:
                        inner = nodes[gone].inputs[0]
                        nodes[gone], gone = replace(nodes[gone], kind="pass", inputs=()), inner
                break
    return tuple(nodes)


class _Lowering:
    def __init__(self, nodes: tuple[Node, ...], outputs: tuple[int, ...]) -> None:
        self.nodes = nodes
        self.uses = _uses(nodes, outputs)
        self.drafts: list[_Draft] = []
        self.draft_of: dict[int, int] = {}  # node -> draft
        self.sole: dict[int, bool] = {}  # node -> whether it is the only reader of its draft
        for index, node in enumerate(nodes):
            self._lower(index, node)

    def _alias(self, index: int, of: int) -> None:
        self.draft_of[index] = self.draft_of[of]
        self.sole[index] = self._only_reader(of)

    def _only_reader(self, of: int) -> bool:
        """Whether a node has one reader, and is the only reader of its draft."""
        return self.sole[of] and self.uses[of] == 1

    def _new(self, index: int, kind: str, inputs: tuple[int, ...] | None = None) -> _Draft:
        node = self.nodes[index]
        read = node.inputs if inputs is None else inputs
        taken = tuple(self.nodes[i].shape for i in read)
        before = tuple(self.draft_of[i] for i in read)
        draft = _Draft(kind, node, before, taken, params=node.params, groups=node.groups)
        self.drafts.append(draft)
        self.draft_of[index], self.sole[index] = len(self.drafts) - 1, True
        return draft

    def _lower(self, index: int, node: Node) -> None:
        if node.kind == "input":
            self.draft_of[index], self.sole[index] = -1, False
        elif node.kind in ("pass", "transpose"):
            if node.inputs:
                self._alias(index, node.inputs[0])
        elif node.kind == "reshape":
            self._reshape(index, node)
        elif node.kind in ("norm", "affine", "act"):
            self._follow(index, node)
        elif node.kind == "shuffle":
            self._shuffle(index, node.groups, node.inputs[0])
        elif node.kind == "slice" and len(node.shape) != 3:
            self._alias(index, node.inputs[0])  # a view of a value without channels
        elif node.kind in ("conv", "linear"):
            self._weighted(index, node)
        else:
            self._new(index, node.kind)

    def _weighted(self, index: int, node: Node) -> None:
        draft = self._new(index, node.kind)
        draft.norm = "bias" if node.bias else "none"
        if node.kind == "conv":
            c_in, height, width = planes(draft.taken[0])
            if node.groups == c_in > 1:
                draft.kind, draft.groups = "dwconv", 1
            elif (height, width) == (1, 1) == node.kernel and node.groups == 1:
                draft.kind = "linear"
        elif prod(node.shape[:-1]) > 1:
            draft.kind = "conv"

    def _follow(self, index: int, node: Node) -> None:
        """Batch norm, a constant factor or an activation: absorbed, or a layer."""
        of = node.inputs[0]
        if self._only_reader(of):
            before = self.drafts[self.draft_of[of]]
            free = before.kind in ABSORB and not before.act
            constant = node.kind == "affine" and not node.params and before.kind != "unknown"
            second = node.kind == "norm" and before.norm == "batch"
            bound = node.act == "clamp" and before.act in ("relu", "clamp")  # the other bound
            if (free and not second) or constant or bound:
                before.absorbed.append(node.source)
                before.params += node.params
                before.act = node.act if bound else before.act or node.act
                before.norm = "batch" if node.kind == "norm" else before.norm
                self.draft_of[index], self.sole[index] = self.draft_of[of], True
                return
        draft = self._new(index, "relu" if node.kind == "act" else "batchnorm")
        draft.act, draft.norm = node.act, "batch"

    def _reshape(self, index: int, node: Node) -> None:
        """A view, or the end of reshape - transpose - reshape, which is a channel shuffle."""
        middle = self._through(node.inputs[0], "transpose")
        first = self._through(self.nodes[middle].inputs[0], "reshape") if middle >= 0 else -1
        if first >= 0:
            split, perm = self.nodes[first].shape, self.nodes[middle].perm
            start = self.nodes[first].inputs[0]
            swaps = perm[:3] == (0, 2, 1) and perm[3:] == tuple(range(3, len(perm)))
            same = self.nodes[start].shape == node.shape and len(node.shape) == 3
            if swaps and same and len(split) >= 3 and split[0] * split[1] == node.shape[0]:
                only = self.uses[first] == self.uses[middle] == 1
                self._shuffle(index, split[0], start, only)
                return
        self._alias(index, node.inputs[0])

    def _through(self, index: int, kind: str) -> int:
        while self.nodes[index].kind == "pass" and self.nodes[index].inputs:
            index = self.nodes[index].inputs[0]
        return index if self.nodes[index].kind == kind else -1

    def _shuffle(self, index: int, groups: int, start: int, only: bool = True) -> None:
        at = self.draft_of[start]
        joins = only and self._only_reader(start) and self.drafts[at].kind == "concat"
        if joins and self.drafts[at].groups == 1:
            self.drafts[at].groups = groups
            self.draft_of[index], self.sole[index] = at, True
        else:
            self._new(index, "shuffle", (start,)).groups = groups


def _finish(draft: _Draft) -> Layer:
    node = draft.node
    name = node.modules[-1][0] if node.modules and node.modules[-1][0] else node.name
    op = None if draft.kind == "unknown" else _op(draft)
    source = "+".join([node.source, *draft.absorbed])
    return Layer(name, op, draft.inputs, node.modules, source, node.shape, draft.act, node.missing)


def _op(draft: _Draft) -> Op:
    node, kind = draft.node, draft.kind
    out = planes(node.shape)
    if node.kind in ("conv", "linear"):
        sizes = planes(draft.taken[0])
        if node.kind == "linear":
            height, *rest = node.shape[:-1] or (1,)
            sizes = draft.taken[0][-1], height, prod(rest)
            out = node.shape[-1], height, prod(rest)
        options: dict[str, Any] = {
            "kernel": node.kernel,
            "stride": node.stride,
            "norm": draft.norm,
        }
        options |= {"groups": draft.groups, "act": draft.act, "params": draft.params}
        return make_op(kind, sizes, out, **options)
    taken = sorted(draft.taken, key=prod, reverse=True)  # a gate is the smaller operand
    read = sum(prod(shape) for shape in taken)
    if kind in ("maxpool", "avgpool", "globalpool", "slice"):
        kernel, stride = node.kernel, node.stride
        return make_op(kind, planes(taken[0]), out, kernel=kernel, stride=stride, start=node.start)
    own, act = (draft.params, draft.act) if kind == "batchnorm" else (0, "")
    return make_op(kind, out, out, groups=draft.groups, act=act, params=own, read=read)
