"""Which layers make a unit.

Where the source records module paths, a unit is the outermost module that is no mere container. A
container is the root, a Sequential, ModuleList or ModuleDict, or a module with a module inside
that itself adds or concatenates (a stage of residual units). What a container runs itself is a
unit of its own.

Without paths, or where they say nothing (every unit holds one layer at most, and a container
joins them), units are regions of the graph: they end where one value alone leads on. What a
concatenation has taken in does not count beside its result, and an activation on its own belongs
to the region before it.
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


def steps_of(layers: Sequence[Layer], which: Sequence[int]) -> tuple[Step, ...]:
    """The known ops of some layers, as `space.cost.guidelines` reads them."""
    found = ((layers[i].op, layers[i].inputs) for i in which)
    return tuple(Step(op, inputs) for op, inputs in found if op is not None)


def units(layers: Sequence[Layer]) -> tuple[tuple[Unit, ...], str]:
    """The units of a model, and which of the two rules made them: "modules" or "graph"."""
    known = [bool(layer.modules) for layer in layers if _weighty(layer)]
    if known and all(known) and layers[-1].modules:
        placed = _placed(layers)
        by_module = _by_module(placed)
        joined = any(_joins(layer) and len(layer.modules) == 1 for layer in placed)
        largest = max(sum(_weighty(layers[i]) for i in unit.layers) for unit in by_module)
        if largest > 1 or not joined:
            return by_module, "modules"
    return _by_graph(layers), "graph"


def _joins(layer: Layer) -> bool:
    return layer.op is not None and layer.op.kind in JOINS


def _weighty(layer: Layer) -> bool:
    return layer.op is not None and layer.op.kind in ("conv", "dwconv", "linear")


def _placed(layers: Sequence[Layer]) -> list[Layer]:
    """The layers; one without a path, as exporters leave splits, has that of the next one."""
    placed = list(layers)
    for index in range(len(layers) - 2, -1, -1):
        if not placed[index].modules:
            placed[index] = replace(placed[index], modules=placed[index + 1].modules)
    return placed


def _by_module(layers: Sequence[Layer]) -> tuple[Unit, ...]:
    containers = {path for layer in layers for path, kind in layer.modules if _holds(kind)}
    containers |= {layer.modules[0][0] for layer in layers}
    for layer in layers:
        if _joins(layer):
            containers.update(path for path, _ in layer.modules[:-1])
    units: list[Unit] = []
    place: dict[str, int] = {}
    for index, layer in enumerate(layers):
        inside = [path for path, _ in layer.modules if path not in containers]
        if inside and inside[0] in place:
            at = place[inside[0]]
            units[at] = Unit(units[at].name, (*units[at].layers, index))
        elif inside:
            place[inside[0]] = len(units)
            units.append(Unit(inside[0], (index,)))
        else:
            path = layer.modules[-1][0]
            units.append(Unit(f"{path or 'root'}: {_word(layer)}", (index,)))
    return tuple(units)


def _holds(kind: str) -> bool:
    words = kind.split(".")
    return words[-1] in CONTAINERS and (len(words) == 1 or words[0] == "torch")


def _word(layer: Layer) -> str:
    return layer.op.kind if layer.op is not None else layer.source


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
    return tuple(Unit(_span(layers, which), tuple(which)) for which in found if which)


def _span(layers: Sequence[Layer], which: Sequence[int]) -> str:
    first, last = layers[which[0]].name, layers[which[-1]].name
    return first if len(which) == 1 else f"{first} .. {last}"
