"""Small ONNX models of tests, and how they are counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from latency.audit.analysis import Audit, analyze
from latency.audit.lowering import lower
from latency.audit.onnx_reader import read_file

node = helper.make_node


def weights(*shape: int, kind: Any = np.float32) -> np.ndarray[Any, Any]:
    """Numbers that all differ."""
    count = int(np.prod(shape))
    return (np.arange(count) % 100 + 1).astype(kind).reshape(shape)


def model(
    nodes: Sequence[Any],
    stored: Mapping[str, np.ndarray[Any, Any]],
    *,
    image: Sequence[int | str] = (1, 3, 32, 32),
    opset: int = 17,
    outputs: Sequence[str] = ("y",),
    **graph: Any,
) -> Any:
    """A model from `x` to `outputs`."""
    graph_proto = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()],
        **graph,
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph_proto, opset_imports=opsets, ir_version=8)


def audited(proto: Any, folder: Path, input_shape: tuple[int, int, int] | None = None) -> Audit:
    """The audit of a model, from its file."""
    path = folder / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    source = read_file(path, input_shape)
    return analyze(source, lower(source))


def counts(proto: Any, folder: Path, input_shape: tuple[int, int, int] | None = None) -> Any:
    """(FLOPs, parameters, names of unknown operators)."""
    found = audited(proto, folder, input_shape)
    numbers = found.network.numbers
    return numbers.flops, numbers.params, [unknown.source for unknown in found.unknown]


def load(data: bytes) -> Any:
    """A model from its bytes."""
    return onnx.load_model_from_string(data)
