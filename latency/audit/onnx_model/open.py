"""Open an ONNX file: parsed, its functions inlined, its image input found, large weights dropped.

A file may come from anywhere and be damaged: whatever is wrong with it is one ValueError.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from latency.audit.graph import Shape, first_line, format_shape
from space.common.files import check_regular
from space.common.text import shorten

LARGEST_BYTES = 2**31 - 1  # of a protobuf message
LARGEST_SIDE = 65_536  # of an image or batch; sizes multiply, and ONNX computes with 64 bits
LARGEST_TENSOR = 2**40
MOST_NODES = 1_000_000
SMALL = 4096  # elements of a tensor whose values may matter for shapes


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A parsed model. `filled`: stored tensors, all elements of which are equal."""

    path: Path
    model: Any
    image: str
    image_type: int
    batch: int
    shape: Shape
    filled: frozenset[str]


def open_file(path: Path, input_shape: Shape | None) -> OnnxFile:
    """An ONNX file and the image it takes.

    Raises:
        ValueError: no ONNX file; an input without fixed size, or of another than `input_shape`.
        OSError: the file cannot be read.
    """
    model = _parse(path)
    _check_names(path, model)
    _check_tensors(path, model)
    image, batch, shape = _image(path, model.graph, input_shape)
    filled = frozenset(_filled(model.graph))
    _drop_weights(model)
    model = _inline_functions(path, model)
    kind = image.type.tensor_type.elem_type
    return OnnxFile(path, model, image.name, kind, batch, shape, filled)


def _parse(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    check_regular(path)
    if (size := path.stat().st_size) > LARGEST_BYTES:
        raise ValueError(
            f"{path} must have at most {LARGEST_BYTES} bytes; got {size}: save its weights as "
            "external data"
        )
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError:
        raise ValueError(f"{path} is not an ONNX file: it cannot be parsed") from None
    if not model.graph.node:
        raise ValueError(f"{path} is not an ONNX file: it has no graph")
    return model


def _graphs(model: Any) -> Iterator[Any]:
    """The graph and every graph in an attribute; functions too, which have nodes as well."""
    stack = [model.graph, *model.functions]
    while stack:
        graph = stack.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                stack += [attribute.g] if attribute.HasField("g") else []
                stack += attribute.graphs


def _check_names(path: Path, model: Any) -> None:
    """Check that names are text: protobuf gives bytes for what is not UTF-8."""

    def names() -> Iterator[object]:
        yield from (entry.domain for entry in model.opset_import)
        for function in model.functions:
            yield from (function.name, function.domain)
        for graph in _graphs(model):
            for node in graph.node:
                yield from (node.op_type, node.domain, node.name)
                yield from (attribute.name for attribute in node.attribute)
                yield from (text for p in node.metadata_props for text in (p.key, p.value))
            for tensor in getattr(graph, "initializer", ()):
                yield tensor.name
                yield from (text for e in tensor.external_data for text in (e.key, e.value))
            for sparse in getattr(graph, "sparse_initializer", ()):
                yield sparse.values.name
            if hasattr(graph, "initializer"):  # of a function, inputs and outputs are strings
                for info in (*graph.input, *graph.output):
                    yield info.name
                    yield from (dim.dim_param for dim in info.type.tensor_type.shape.dim)

    if any(isinstance(name, bytes) for name in names()):
        raise ValueError(f"{path} is not an ONNX file: a name in it is not UTF-8 text")


def _check_tensors(path: Path, model: Any) -> None:
    for graph in _graphs(model):
        sparse = getattr(graph, "sparse_initializer", ())
        stored = [*getattr(graph, "initializer", ()), *(t.values for t in sparse)]
        shapes = [(t.name, t.dims) for t in stored] + [(t.values.name, t.dims) for t in sparse]
        for name, dims in shapes:
            if any(size < 0 for size in dims) or prod(dims) > LARGEST_TENSOR:
                raise ValueError(
                    f"{path}: tensor {shorten(name)} must have at most {LARGEST_TENSOR} elements; "
                    f"it is {shorten('x'.join(map(str, dims)))}"
                )


def _image(path: Path, graph: Any, requested: Shape | None) -> tuple[Any, int, Shape]:
    """The image input, its batch (1 if it is free) and its shape."""
    constants = {t.name for t in graph.initializer}
    constants |= {t.values.name for t in graph.sparse_initializer}
    inputs = [i for i in graph.input if i.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(i.name for i in inputs) or "none"
        raise ValueError(f"{path} must have one input, a batch of images; it has {_plain(names)}")
    dims = inputs[0].type.tensor_type.shape.dim
    sizes = [d.dim_value if d.dim_value > 0 else d.dim_param or "?" for d in dims]
    text = _plain("x".join(map(str, sizes)) or "unknown")
    what = f"input {_plain(inputs[0].name)} of {path}"
    if len(dims) != 4:
        raise ValueError(f"{what} must be a batch of images, [n, channels, h, w]; it is {text}")
    fixed = [size for size in sizes[1:] if isinstance(size, int)]
    if requested is None and len(fixed) < 3:
        raise ValueError(
            f"{what} has no fixed size ({text}): give it with --input CHANNELSxHEIGHTxWIDTH"
        )
    shape = requested or tuple(fixed)
    if any(isinstance(g, int) and g != w for g, w in zip(sizes[1:], shape, strict=True)):
        raise ValueError(f"{what} is {text}; got --input {format_shape(shape)}")
    batch = sizes[0] if isinstance(sizes[0], int) else 1
    if max(batch, *shape) > LARGEST_SIDE:
        raise ValueError(
            f"{what} must have no size above {LARGEST_SIDE}; it is {batch}x{format_shape(shape)}"
        )
    return inputs[0], batch, shape


def _plain(text: str) -> str:
    """A name of the file in a message: short, on one line."""
    return shorten(text)[1:-1]


def _filled(graph: Any) -> Iterator[str]:
    """Names of tensors that an Identity copies and all of whose elements are equal."""
    from onnx import TensorProto, numpy_helper

    copied = {node.input[0] for node in graph.node if node.op_type == "Identity" and node.input}
    for tensor in graph.initializer:
        inside = tensor.data_location != TensorProto.EXTERNAL
        if tensor.name in copied and inside and tensor.data_type == TensorProto.FLOAT:
            try:
                values = numpy_helper.to_array(tensor)
            except (TypeError, ValueError):
                continue
            if values.size and (values == values.flat[0]).all():
                yield tensor.name


def _drop_weights(model: Any) -> None:
    """Remove the values of large tensors: their sizes are all that is read."""
    fields = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")
    for tensor in model.graph.initializer:
        if prod(tensor.dims) > SMALL:
            for field in fields:
                tensor.ClearField(field)


def _inline_functions(path: Path, model: Any) -> Any:
    """The model without calls of its own functions."""
    from onnx import inliner

    if not model.functions:
        return model
    bodies = {(f.domain, f.name): f.node for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Any, above: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in above or len(above) > 50:
                raise ValueError(f"{path}: function {_plain(node.op_type)} calls itself")
            if key in bodies and key not in sizes:
                sizes[key] = size(bodies[key], (*above, key))
            total += sizes.get(key, 1)
        return total

    if size(model.graph.node, ()) > MOST_NODES:
        raise ValueError(f"{path} must have at most {MOST_NODES} nodes with its functions inlined")
    try:
        return inliner.inline_local_functions(model)
    except Exception as error:  # of C++, about a malformed function
        raise ValueError(f"{path}: functions cannot be inlined: {first_line(error)}") from None
