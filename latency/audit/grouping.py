"""Which layers make a unit.

Where the source records module paths, a unit is the outermost module that is not a container. A
container is the root, a Sequential, ModuleList or ModuleDict, or a module that contains a module
that adds or concatenates (a stage of residual units). Each layer that a container runs itself is
a unit.

Without paths, or where they have no information (each unit has one layer at most, and a container
joins them), units are regions of the graph. A region ends where later layers read one value only.
The inputs of a concatenation do not count beside its result, and a separate activation belongs to
the region before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from latency.audit.lowering import Layer
from space.graph.builder import Step

JOINS = ("add", "concat")
CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")


@dataclass(frozen=True, slots=True)
class Unit:
    """Layers by their index in the model."""

    name: str
    layers: tuple[int, ...]


def steps_of(layers: Sequence[Layer], indices: Sequence[int]) -> tuple[Step, ...]:
    """The steps of the layers with a known op."""
    found = ((layers[i].op, layers[i].inputs) for i in indices)
    return tuple(Step(op, inputs) for op, inputs in found if op is not None)


def units(layers: Sequence[Layer]) -> tuple[tuple[Unit, ...], str]:
    """The units of a model, and the rule that made them: "modules" or "graph"."""
    known = [bool(layer.modules) for layer in layers if _has_weights(layer)]
    if known and all(known) and layers[-1].modules:
        complete = _with_paths(layers)
        by_module = _by_module(complete)
        joined = any(_joins(layer) and len(layer.modules) == 1 for layer in complete)
        largest = max(sum(_has_weights(layers[i]) for i in unit.layers) for unit in by_module)
        if largest > 1 or not joined:
            return by_module, "modules"
    return _by_graph(layers), "graph"


def _joins(layer: Layer) -> bool:
    return layer.op is not None and layer.op.kind in JOINS


def _has_weights(layer: Layer) -> bool:
    return layer.op is not None and layer.op.kind in ("conv", "dwconv", "linear")


def _with_paths(layers: Sequence[Layer]) -> list[Layer]:
    """The layers. One without a path, such as a split of an exporter, gets that of the next."""
    complete = list(layers)
    for index in range(len(layers) - 2, -1, -1):
        if not complete[index].modules:
            complete[index] = replace(complete[index], modules=complete[index + 1].modules)
    return complete


def _by_module(layers: Sequence[Layer]) -> tuple[Unit, ...]:
    containers = {path for layer in layers for path, kind in layer.modules if _is_container(kind)}
    containers |= {layer.modules[0][0] for layer in layers}
    for layer in layers:
        if _joins(layer):
            containers.update(path for path, _ in layer.modules[:-1])
    names: dict[str | int, str] = {}
    members: dict[str | int, list[int]] = {}
    for index, layer in enumerate(layers):
        path = next((path for path, _ in layer.modules if path not in containers), "")
        kind = layer.op.kind if layer.op is not None else layer.source
        names.setdefault(path or index, path or f"{layer.modules[-1][0] or 'root'}: {kind}")
        members.setdefault(path or index, []).append(index)
    return tuple(Unit(names[key], tuple(which)) for key, which in members.items())


def _is_container(kind: str) -> bool:
    words = kind.split(".")
    return words[-1] in CONTAINERS and (len(words) == 1 or words[0] == "torch")


def _by_graph(layers: Sequence[Layer]) -> tuple[Unit, ...]:
    last = dict.fromkeys(range(-1, len(layers)), -1)  # value -> the last layer that reads it
    for index, layer in enumerate(layers):
        for value in layer.inputs:
            last[value] = index
    found: list[list[int]] = [[]]
    held: dict[int, set[int]] = {}  # concatenation -> every value in it
    live: set[int] = {-1}
    for index, layer in enumerate(layers):
        late = layer.op is not None and layer.op.kind == "relu" and not found[-1]
        found[-2 if late and len(found) > 1 else -1].append(index)
        live = {value for value in live if last[value] > index} | {index}
        if layer.op is not None and layer.op.kind == "concat":
            held[index] = set(layer.inputs).union(*(held.get(i, set()) for i in layer.inputs))
        if found[-1] and live - held.get(index, set()) == {index}:
            found.append([])
    spans = [(layers[which[0]].name, layers[which[-1]].name, which) for which in found if which]
    return tuple(
        Unit(first if len(which) == 1 else f"{first} .. {last}", tuple(which))
        for first, last, which in spans
    )
