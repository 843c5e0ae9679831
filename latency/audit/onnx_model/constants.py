"""Constants of an ONNX graph: those that a file stores, and those made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from latency.audit.graph import Shape
from latency.audit.onnx_model.open import SMALL
from latency.audit.onnx_model.values import OnnxValue, stored_value, tensor_type

# These make numbers from sizes or from nothing: no parameters.
UNSTORED = ("Shape", "Size", "Range", "EyeLike", "RandomNormal", "RandomUniform")


def constant_value(name: str, attributes: Mapping[str, Any], folder: Path) -> OnnxValue | None:
    """The value of a Constant node; None: not a tensor, or of strings."""
    from onnx import numpy_helper

    found = attributes.get("value")
    if found is None and "sparse_value" in attributes:
        sparse = attributes["sparse_value"]
        return sparse_value(sparse, name) if hasattr(sparse, "dims") else None
    if found is None:
        kinds = {"float": np.float32, "int": np.int64}
        for key, kind in kinds.items():
            for field in (f"value_{key}", f"value_{key}s"):
                if isinstance(attributes.get(field), int | float | list):
                    found = numpy_helper.from_array(np.array(attributes[field], kind), name)
    if found is None or not hasattr(found, "data_type"):
        return None
    value = stored_value(found, folder)
    return replace(value, stored={name: prod(value.shape or ())})


def folded_value(
    node: Any,
    name: str,
    given: Mapping[str, OnnxValue],
    value: OnnxValue,
    data: Any,
    filled: frozenset[str],
) -> OnnxValue:
    """A constant that a node makes of constants."""
    from onnx import helper

    kind, shape = value.type, value.shape
    if data is not None:
        data = np.asarray(data)
        shape = data.shape
        kind = tensor_type(helper.np_dtype_to_tensor_dtype(data.dtype), shape)
        data = data if data.size <= SMALL else None
    names = [n for n in node.input if n]
    stored: dict[str, int] = {}
    scale = any(given[n].scale for n in names)
    if node.op_type in ("Cast", "QuantizeLinear", "DequantizeLinear"):
        names = names[:1]
    elif element := kind.tensor_type.elem_type:  # not the sizes and places beside the weights
        names = [n for n in names if given[n].type.tensor_type.elem_type == element]
    if node.op_type == "ConstantOfShape" and shape is not None:
        stored = {name: prod(shape)}  # some files shrink their weights so
    elif node.op_type == "Identity" and names and names[0] in filled and shape is not None:
        # An exporter stores equal tensors once, and those of new layers (zeros, ones) are equal.
        stored = {name: prod(shape)}
    elif not scale and node.op_type not in UNSTORED:
        stored = {key: count for n in names for key, count in given[n].stored.items()}
    return OnnxValue(kind, shape, True, data, stored, scale)


def sparse_value(tensor: Any, name: str = "") -> OnnxValue:
    """A sparse tensor: parameters count as in the dense one."""
    shape = tuple(tensor.dims)
    kind = tensor_type(tensor.values.data_type, shape)
    return OnnxValue(kind, shape, True, None, {name or tensor.values.name: prod(shape)})


def sizes_value(op: str, shape: Shape, attributes: Mapping[str, Any]) -> OnnxValue:
    """The result of Shape or Size."""
    start, end = attributes.get("start", 0), attributes.get("end", len(shape))
    if not isinstance(start, int) or not isinstance(end, int):
        raise ValueError(f"{op} must have a whole start and end")
    data = np.array(shape[start:end] if op == "Shape" else prod(shape), np.int64)
    return OnnxValue(tensor_type(7, data.shape), data.shape, True, data)
