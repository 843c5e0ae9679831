"""Which layers make a unit, and how fragmented it is (G3).

A region of the graph lies between two places where later layers read one value only. The inputs
of a concatenation do not count beside its result, and a separate activation belongs to the region
before it. G3 of a region counts its convolutions and poolings. It follows from the graph alone, so
a model has one G3 whether or not its source records module paths.

Where the source records module paths, a unit is the outermost module that is not a container. A
container is the root, a Sequential, ModuleList or ModuleDict, or a module that contains a module
that adds or concatenates (a stage of residual units). Each layer that a container runs itself is
a unit. Units that share the operators of a region are one unit, and G3 of a unit is that of its
most fragmented region.

Without paths, or where they have no information (each unit has one layer at most, and a container
joins them), the regions are the units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from latency.audit.lowering import Layer
from space.cost.guidelines import fragments
from space.graph.builder import Step

JOINS = ("add", "concat")
CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")
Indices: TypeAlias = tuple[int, ...]  # of layers, in the order they run


@dataclass(frozen=True, slots=True)
class Unit:
    """Layers by their index in the model, and the operators that G3 counts."""

    name: str
    layers: Indices
    fragments: int


def steps_of(layers: Sequence[Layer], indices: Sequence[int]) -> tuple[Step, ...]:
    """The steps of the layers with a known op."""
    found = ((layers[i].op, layers[i].inputs) for i in indices)
    return tuple(Step(op, inputs) for op, inputs in found if op is not None)


def units(layers: Sequence[Layer]) -> tuple[tuple[Unit, ...], str]:
    """The units of a model, and the rule that made them: "modules" or "graph"."""
    regions = _regions(layers)
    known = [bool(layer.modules) for layer in layers if _has_weights(layer)]
    if known and all(known) and layers[-1].modules:
        complete = _with_paths(layers)
        modules = _modules(complete)
        joined = any(_joins(layer) and len(layer.modules) == 1 for layer in complete)
        largest = max(sum(_has_weights(layers[i]) for i in which) for _, which in modules)
        if largest > 1 or not joined:
            return _joined(complete, modules, regions), "modules"
    return tuple(
        Unit(_span(layers[which[0]].name, layers[which[-1]].name), which, _g3(layers, which))
        for which in regions
    ), "graph"


def _g3(layers: Sequence[Layer], which: Indices) -> int:
    return fragments(steps_of(layers, which))


def _span(first: str, last: str) -> str:
    return first if first == last else f"{first} .. {last}"


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


def _modules(layers: Sequence[Layer]) -> list[tuple[str, Indices]]:
    """The name and the layers of each module that is a unit."""
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
    return [(names[key], tuple(which)) for key, which in members.items()]


def _is_container(kind: str) -> bool:
    words = kind.split(".")
    return words[-1] in CONTAINERS and (len(words) == 1 or words[0] == "torch")


def _joined(
    layers: Sequence[Layer], modules: Sequence[tuple[str, Indices]], regions: Sequence[Indices]
) -> tuple[Unit, ...]:
    """The units of modules, where those that share the operators of a region are one."""
    owner = {index: number for number, (_, which) in enumerate(modules) for index in which}
    # The modules whose operators G3 counts in a region, by region.
    running = [({owner[i] for i in which if _g3(layers, (i,))}, which) for which in regions]
    parts: list[set[int]] = [{number} for number in range(len(modules))]
    for shared, _ in running:
        hit = [part for part in parts if part & shared]
        if len(hit) > 1:
            parts = [part for part in parts if part not in hit] + [set[int]().union(*hit)]
    counted = {number for shared, _ in running for number in shared}
    for part in [part for part in parts if len(part) > 1]:
        inside = {index for shared, which in running if shared & part for index in which}
        for number, (_, which) in enumerate(modules):
            if number not in counted and inside.issuperset(which):  # as an addition of branches
                parts.remove({number})
                part.add(number)
    return tuple(
        _unit(layers, modules, part, [which for shared, which in running if shared & part])
        for part in sorted(parts, key=min)
    )


def _unit(
    layers: Sequence[Layer],
    modules: Sequence[tuple[str, Indices]],
    part: set[int],
    regions: Sequence[Indices],
) -> Unit:
    which = tuple(sorted(index for number in part for index in modules[number][1]))
    name = _span(modules[min(part)][0], modules[max(part)][0])
    if len(part) > 1:
        name = _common(layers, which) or name
    return Unit(name, which, max((_g3(layers, region) for region in regions), default=0))


def _common(layers: Sequence[Layer], which: Indices) -> str:
    """The innermost module, not the root, that runs these layers and no others; "": none."""
    paths = [[path for path, _ in layers[index].modules] for index in which]
    shared = [path for path in paths[0][1:] if all(path in other for other in paths)]
    path = shared[-1] if shared else ""
    count = sum(any(path == other for other, _ in layer.modules) for layer in layers)
    return path if path and count == len(which) else ""


def _regions(layers: Sequence[Layer]) -> list[Indices]:
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
    return [tuple(which) for which in found if which]
