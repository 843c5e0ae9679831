"""Values of an ONNX graph: their types, what is known of constants, and ONNX's own rules for both.

Constants are evaluated by ONNX's reference evaluator, types are inferred by ONNX's inference, one
node at a time: what goes wrong in a node stays there, and no weight is copied.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from latency.audit.graph import Shape
from latency.audit.onnx_model.open import SMALL
from space.common.files import check_regular
from space.common.text import shorten

# Their results have no size that inference knows, and no more elements than their inputs.
SHRINKING = ("NonZero", "Compress", "Unique")
# Their results have the type and shape of the first input, in versions without such a rule too.
SAME_SHAPE = ("Gelu", "GroupNormalization", "HardSwish", "Mish", "Swish")
UNFIT = "ShapeInferenceError"


@dataclass(frozen=True, slots=True)
class OnnxValue:
    """A value: its `type` (a TypeProto), and its shape if every size is known.

    `constant`: whatever the image is. `data`: of a small constant, if known. `stored`: name ->
    elements of the stored tensors that a constant is made of. `scale`: a factor of quantisation,
    or made of one: no parameter.
    """

    type: Any
    shape: Shape | None
    constant: bool = False
    data: np.ndarray[Any, Any] | None = None
    stored: Mapping[str, int] = field(default_factory=dict)
    scale: bool = False

    @property
    def is_float(self) -> bool:
        """Whether the elements are floats of any width (FLOAT, FLOAT16, DOUBLE, BFLOAT16, 8 and
        4 bits)."""
        return self.type.tensor_type.elem_type in (1, 10, 11, 16, 17, 18, 19, 20, 23, 24)


def typed(type_proto: Any, **fields: Any) -> OnnxValue:
    """A value of a type."""
    return OnnxValue(type_proto, _fixed(type_proto), **fields)


def tensor_type(kind: int, shape: Shape) -> Any:
    """The TypeProto of a tensor."""
    from onnx import helper

    return helper.make_tensor_type_proto(kind, shape)


def _fixed(type_proto: Any) -> Shape | None:
    tensor = type_proto.tensor_type
    if not tensor.HasField("shape"):
        return None
    if not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        return None
    return tuple(dim.dim_value for dim in tensor.shape.dim)


def stored_value(tensor: Any, folder: Path) -> OnnxValue:
    """The value of a TensorProto; small ones with their data.

    Raises:
        ValueError: sizes are stored in another file, which cannot be read.
    """
    shape = tuple(tensor.dims)
    known = _data(tensor, folder) if prod(shape) <= SMALL else None
    return OnnxValue(
        tensor_type(tensor.data_type, shape), shape, True, known, {tensor.name: prod(shape)}
    )


def _data(tensor: Any, folder: Path) -> np.ndarray[Any, Any] | None:
    """The elements; None if the file lacks them, or has too few."""
    from onnx import TensorProto, numpy_helper

    if tensor.data_type in (TensorProto.UNDEFINED, TensorProto.STRING):
        return None
    if tensor.data_location == TensorProto.EXTERNAL:
        counts = tensor.data_type in (TensorProto.INT32, TensorProto.INT64) and tensor.dims
        try:
            tensor = _with_external_data(tensor, folder)
        except (OSError, ValueError) as error:
            if not counts:
                return None
            why = getattr(error, "strerror", None) or error
            raise ValueError(
                f"sizes are stored outside of the file, in {shorten(_external(tensor)[0])}, which "
                f"cannot be read ({why}): put it beside the file"
            ) from None
    try:
        found = numpy_helper.to_array(tensor)
    except (KeyError, NotImplementedError, TypeError, ValueError):
        return None
    return found if found.shape == tuple(tensor.dims) else None


def _external(tensor: Any) -> tuple[str, int]:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    return entries.get("location", ""), int(entries.get("offset", "0"))


def _with_external_data(tensor: Any, folder: Path) -> Any:
    """A copy of a small tensor with its data, read from a file inside of `folder` alone."""
    from onnx import TensorProto, helper

    name, offset = _external(tensor)
    path = Path(os.path.realpath(folder / name))
    if not name or not path.is_relative_to(os.path.realpath(folder)) or offset < 0:
        raise ValueError("it must be in the same folder")
    check_regular(path)
    with path.open("rb") as file:
        file.seek(offset)
        wide = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
        raw = file.read(prod(tensor.dims) * wide)
    return TensorProto(
        name=tensor.name, data_type=tensor.data_type, dims=list(tensor.dims), raw_data=raw
    )


@dataclass(frozen=True, slots=True)
class OnnxRules:
    """ONNX's rules in the versions that a model asks for."""

    opsets: Mapping[str, int]
    ir_version: int

    @staticmethod
    def of(model: Any) -> OnnxRules:
        """The rules for a model; a domain that it does not name has version 1."""
        opsets = {"": 1} if model.ir_version < 3 else {}
        for entry in model.opset_import:
            domain = "" if entry.domain == "ai.onnx" else entry.domain
            opsets[domain] = max(1, entry.version)
        return OnnxRules({"": 1, **opsets}, max(3, min(model.ir_version, 10)))

    def evaluate(self, node: Any, given: Mapping[str, OnnxValue]) -> dict[str, Any]:
        """The results by name of a node of small constants, by the reference evaluator; those
        that it cannot compute, or that are no numbers, are left out."""
        from onnx import helper
        from onnx.reference import ReferenceEvaluator

        feeds = {name: value.data for name, value in given.items()}
        if any(data is None for data in feeds.values()):
            return {}
        names, results = list(given), [name for name in node.output if name]
        # A graph: for a node alone the evaluator takes the newest version.
        graph = helper.make_graph(
            [node],
            "one",
            [helper.make_empty_tensor_value_info(name) for name in names],
            [helper.make_empty_tensor_value_info(name) for name in results],
        )
        try:
            found = ReferenceEvaluator(graph, opsets=dict(self.opsets)).run(None, feeds)
        except Exception:  # of many kinds; the value is then not known, and is said to be
            return {}
        return {
            name: np.asarray(item)
            for name, item in zip(results, found, strict=False)
            if isinstance(item, np.ndarray | np.generic) and item.dtype.kind in "biuf"
        }

    def infer(self, node: Any, given: Mapping[str, OnnxValue]) -> dict[str, Any]:
        """The types of a node's results by name, those that inference finds.

        Raises:
            ValueError: the shapes of the inputs do not fit the operator, or each other.
        """
        from onnx import helper, numpy_helper, shape_inference

        outputs = [name for name in node.output if name]
        graph = helper.make_graph(
            [node],
            "one",
            [helper.make_value_info(name, value.type) for name, value in given.items()],
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            [
                numpy_helper.from_array(np.asarray(value.data), name)
                for name, value in given.items()
                if value.data is not None
            ],
        )
        imports = [helper.make_opsetid(name, version) for name, version in self.opsets.items()]
        model = helper.make_model(graph, opset_imports=imports, ir_version=self.ir_version)
        try:
            model = shape_inference.infer_shapes(model, strict_mode=True)
        except Exception as error:  # InferenceError of C++ has no other base
            why = " ".join(str(error).split())
            if UNFIT in why:
                raise ValueError(why.rpartition(f"[{UNFIT}]")[2].strip()) from None
            return {}
        return {o.name: o.type for o in model.graph.output if o.type.WhichOneof("value")}
