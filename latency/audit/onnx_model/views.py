"""Parts of a map, and padding: operators whose meaning depends on the values of constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from latency.audit.graph import Shape
from latency.audit.onnx_model.fold import OnnxOp, OnnxProgram
from latency.audit.onnx_model.values import OnnxValue

LOWEST = -1e30  # what padding a maximum ignores is below
Values = Mapping[str, OnnxValue]


def part(
    op: OnnxOp, number: int, values: Values, before: Shape, after: Shape
) -> dict[str, Any] | None:
    """A Split or Slice: a slice of channels; of another axis, a view."""
    if len(before) != 3 or before[1:] != after[1:]:
        return {"kind": "reshape"}
    if op.op == "Split":
        parts = [values[name].shape if name else None for name in op.outputs[:number]]
        if any(shape is None for shape in parts):
            return None
        return {"kind": "slice", "start": sum(shape[1] for shape in parts if shape)}
    starts, steps = _numbers(op, values, 1, "starts"), _numbers(op, values, 4, "steps")
    if starts is None:
        return None
    if steps and steps != [1] * len(steps):
        return {"kind": "reshape"}
    start = starts[0] if len(starts) == 1 else 0
    if len(starts) > 1:
        axes = _numbers(op, values, 3, "axes") or list(range(len(starts)))
        start = next((s for s, a in zip(starts, axes, strict=False) if a in (1, -3)), 0)
    return {"kind": "slice", "start": start % before[0]}


def gathered(op: OnnxOp, values: Values, before: Shape) -> dict[str, Any] | None:
    """A Gather of known places. One place, or places that follow each other, are a view; places
    that interleave groups of channels are a shuffle."""
    if len(op.inputs) < 2 or not op.inputs[1]:
        return None
    full, indices = values[op.inputs[0]].shape or (), values[op.inputs[1]]
    axis = op.attributes.get("axis", 0)
    if values[op.inputs[0]].constant or indices.data is None or not isinstance(axis, int):
        return None
    size = full[axis % len(full)] if full else 0
    places = [int(place) % size if size else 0 for place in indices.data.ravel()]
    if indices.data.ndim == 0:
        return {"kind": "reshape"}
    if indices.data.ndim > 1 or not places:
        return None
    channels = len(before) == 3 and axis % 4 == 1 and len(full) == 4
    if places == list(range(places[0], places[0] + len(places))):
        return {"kind": "slice", "start": places[0]} if channels else {"kind": "reshape"}
    for groups in range(2, size):
        if channels and len(places) == size and size % groups == 0:
            mixed = np.arange(size).reshape(groups, -1).T.ravel()
            if places == mixed.tolist():
                return {"kind": "shuffle", "groups": groups}
    return None


def without_padding(program: OnnxProgram) -> OnnxProgram:
    """The program, where a convolution or pooling does the padding before it itself: zeros around
    the map, or for a maximum the lowest number, that nothing else reads."""
    readers: dict[str, list[OnnxOp]] = {}
    for op in program.ops:
        for name in op.maps:
            readers.setdefault(name, []).append(op)
    inner: dict[str, str] = {}
    for op in program.ops:
        reading = readers.get(op.outputs[0], []) if op.op == "Pad" and op.outputs else []
        if reading and op.outputs[0] not in program.outputs:
            number = _padded_with(op, program.values)
            fits = {"Conv": number == 0, "AveragePool": number == 0}
            fits["MaxPool"] = number is not None and number < LOWEST
            if all(fits.get(r.op) and r.maps.count(op.outputs[0]) == 1 for r in reading):
                inner[op.outputs[0]] = op.inputs[0]
    ops = []
    for op in program.ops:
        if op.op == "Pad" and op.outputs[0] in inner:
            continue
        names = tuple(_through(inner, name) for name in op.inputs)
        ops.append(replace(op, inputs=names) if names != op.inputs else op)
    return replace(program, ops=tuple(ops))


def _through(inner: Mapping[str, str], name: str) -> str:
    while name in inner:
        name = inner[name]
    return name


def _padded_with(op: OnnxOp, values: Values) -> float | None:
    """The number around the two last axes; None: another mode or other axes, or not known."""
    pads = _numbers(op, values, 1, "pads")
    full = values[op.inputs[0]].shape or () if op.inputs and op.inputs[0] else ()
    axes = _numbers(op, values, 3, "axes")
    if pads is None or op.attributes.get("mode", b"constant") != b"constant" or len(full) != 4:
        return None
    axes = [axis % 4 for axis in axes] if axes is not None else [0, 1, 2, 3]
    if len(pads) != 2 * len(axes) or min(pads) < 0:
        return None
    if any(pad and axis < 2 for pad, axis in zip(pads, axes * 2, strict=True)):
        return None
    if len(op.inputs) > 2 and op.inputs[2]:
        data = values[op.inputs[2]].data
        return float(data.ravel()[0]) if data is not None and data.size == 1 else None
    given = op.attributes.get("value", 0.0)
    return float(given) if isinstance(given, int | float) else None


def _numbers(op: OnnxOp, values: Values, position: int, name: str) -> list[int] | None:
    """Whole numbers from an input, or in old versions from an attribute; None: absent or not
    known."""
    if len(op.inputs) > position and op.inputs[position]:
        data = values[op.inputs[position]].data
        return None if data is None else [int(number) for number in data.ravel()]
    found = op.attributes.get(name)
    good = isinstance(found, list) and found and all(isinstance(item, int) for item in found)
    return found if good else None
