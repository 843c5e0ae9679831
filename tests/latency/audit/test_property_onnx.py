"""Mutated ONNX files and exported programs: an answer or one line, whatever is in them."""

from __future__ import annotations

import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from latency.audit import __main__ as audit
from tests.helpers.hostile import examples, mutated_bytes, run_hostile
from tests.helpers.onnx_models import load, model, node, weights

HOSTILE_NUMBERS = (0, -1, 1, 2, 3, 7, 2**31, 2**40, 2**62, -(2**63))
HOSTILE_TEXT = ("", "x", "y", "a", "\0", "\u2028", "[/x]", "x" * 100_000, "/dev/zero", "../../x")


@cache
def valid() -> bytes:
    """A file with computed sizes, a branch, a function, quantised and fused operators."""
    branch = {
        name: helper.make_graph(
            [node(op, ["h"], [f"{name}r"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}r", 1, None)],
        )
        for name, op in (("then", "Relu"), ("else", "Identity"))
    }
    nodes = [
        node("Conv", ["x", "w", "bias"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2], name="stem"),
        node("BatchNormalization", ["a", "bias", "bias", "bias", "bias"], ["n"]),
        node("Clip", ["n", "low", "high"], ["c"]),
        node("Shape", ["c"], ["s"]),
        node("Gather", ["s", "one"], ["k"], axis=0),
        node("Div", ["k", "two"], ["half"]),
        node("Unsqueeze", ["half", "zero1"], ["half1"]),
        node("Slice", ["c", "zero1", "half1", "one1"], ["p"]),
        node("Split", ["c"], ["q1", "q2"], axis=1),
        node("Concat", ["p", "q2"], ["j"], axis=1),
        node("Reshape", ["j", "shape5"], ["r5"]),
        node("Transpose", ["r5"], ["t5"], perm=[0, 2, 1, 3, 4]),
        node("Reshape", ["t5", "s"], ["h"]),
        node("If", ["yes"], ["i"], then_branch=branch["then"], else_branch=branch["else"]),
        node("Layer", ["i", "v"], ["f"], domain="local"),
        node("DynamicQuantizeLinear", ["f"], ["fq", "fs", "fz"]),
        node("ConvInteger", ["fq", "int8", "fz"], ["ci"], kernel_shape=[1, 1]),
        node("Cast", ["ci"], ["cf"], to=1),
        node("Mul", ["cf", "fs"], ["m"]),
        node("FusedConv", ["m", "v"], ["fc"], activation="Relu", domain="com.microsoft"),
        node("Pad", ["fc", "pads"], ["pad"]),
        node("AveragePool", ["pad"], ["mp"], kernel_shape=[3, 3], strides=[2, 2]),
        node("ReduceMean", ["mp"], ["rm"], axes=[2, 3], keepdims=0),
        node("Gemm", ["rm", "g"], ["y"], name="head"),
    ]
    stored = {
        "w": weights(8, 3, 3, 3),
        "bias": weights(8),
        "v": weights(8, 8, 1, 1),
        "int8": weights(8, 8, 1, 1, kind=np.int8),
        "g": weights(8, 4),
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
        "one": np.array(1),
        "two": np.array(2),
        "one1": np.array([1]),
        "zero1": np.array([0]),
        "shape5": np.array([0, 2, 4, 8, 8]),
        "yes": np.array(True),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    }
    proto = model(nodes, stored, image=("n", 3, 16, 16))
    proto.functions.append(
        helper.make_function(
            "local", "Layer", ["i", "k"], ["o"],
            [node("Conv", ["i", "k"], ["t"]), node("Relu", ["t"], ["o"])],
            [helper.make_opsetid("", 17)],
        )
    )  # fmt: skip
    proto.opset_import.append(helper.make_opsetid("local", 1))
    data: bytes = proto.SerializeToString()
    return data


def mutate(draw: st.DrawFn, proto: Any) -> None:
    """One change of a model's nodes, tensors, types or versions."""
    graph = proto.graph
    names = [name for one in graph.node for name in (*one.input, *one.output)]
    one = draw(st.sampled_from(list(graph.node)))
    tensor = draw(st.sampled_from(list(graph.initializer)))
    number = draw(st.sampled_from(HOSTILE_NUMBERS))
    text = draw(st.sampled_from((*HOSTILE_TEXT, *names)))
    action = draw(st.sampled_from(ACTIONS))
    if action == "shuffle":
        nodes = draw(st.permutations(list(graph.node)))
        del graph.node[:]
        graph.node.extend(nodes)
    elif action == "drop":
        graph.node.remove(one)
    elif action == "repeat":
        graph.node.append(one)
    elif action == "op":
        one.op_type = draw(st.sampled_from(OPERATORS))
        one.domain = draw(st.sampled_from(("", "ai.onnx", "com.microsoft", "local", "mine")))
    elif action == "input" and one.input:
        one.input[draw(st.integers(0, len(one.input) - 1))] = text
    elif action == "output":
        one.output[draw(st.integers(0, len(one.output) - 1))] = text
    elif action == "more":
        draw(st.sampled_from((one.input, one.output))).append(text)
    elif action == "fewer":
        del draw(st.sampled_from((one.input, one.output)))[-1:]
    elif action == "attribute":
        name = draw(st.sampled_from(ATTRIBUTES))
        value = draw(st.sampled_from((number, [number], [number] * 4, [1, 1], [], 0.5, text)))
        kept = [a for a in one.attribute if a.name != name]
        del one.attribute[:]
        one.attribute.extend(kept)
        if value != [] or draw(st.booleans()):
            made = helper.make_attribute(name, value, attr_type=7 if value == [] else None)
            one.attribute.append(made)
    elif action == "dims":
        tensor.dims[:] = draw(st.lists(st.sampled_from(HOSTILE_NUMBERS), max_size=5))
    elif action == "type":
        tensor.data_type = draw(st.integers(0, 30))
    elif action == "tensor":
        new = np.array(draw(st.sampled_from((number, [number] * 2, [number] * 5, 1.5, []))))
        tensor.CopyFrom(numpy_helper.from_array(new, tensor.name))
    elif action == "external":
        tensor.data_location = 1
        for key, value in (
            ("location", text),
            ("offset", draw(st.sampled_from(("0", "x", "-1")))),
        ):
            tensor.external_data.add(key=key, value=value)
    elif action == "remove":
        graph.initializer.remove(tensor)
    elif action == "value_info":
        shape = draw(st.lists(st.sampled_from((1, 8, 224, "n")), max_size=4))
        graph.value_info.append(helper.make_tensor_value_info(text, 1, shape))
    elif action == "image":
        dim = graph.input[0].type.tensor_type.shape.dim[draw(st.integers(0, 3))]
        dim.dim_value = number
    elif action == "graph output":
        graph.output[0].name = text
    elif action == "version":
        proto.opset_import[0].version = number
    elif action == "ir":
        proto.ir_version = number
    elif action == "function":
        proto.functions[0].node.append(node("Layer", ["i", "k"], [text], domain="local"))
    elif action == "paths":
        one.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=draw(PATHS))
        one.metadata_props.add(key="pkg.torch.onnx.class_hierarchy", value=draw(PATHS))


ACTIONS = (
    "shuffle", "drop", "repeat", "op", "input", "output", "more", "fewer", "attribute", "dims",
    "type", "tensor", "external", "remove", "value_info", "image", "graph output", "version", "ir",
    "function", "paths",
)  # fmt: skip
OPERATORS = (
    "Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "ConstantOfShape",
    "Constant", "Conv", "ConvInteger", "ConvTranspose", "DequantizeLinear", "Div", "Einsum",
    "Expand", "FastGelu", "Flatten", "FusedConv", "Gather", "Gemm", "If", "Identity", "Loop",
    "LSTM", "MatMul", "Max", "MaxPool", "NonZero", "Pad", "PRelu", "QGemm", "QLinearConcat",
    "QLinearConv", "Range", "ReduceMean", "Reshape", "Resize", "Shape", "Slice", "Split",
    "SplitToSequence", "Squeeze", "Tile", "TopK", "Transpose", "Unsqueeze", "Upsample", "Where",
    "Nothing",
)  # fmt: skip
ATTRIBUTES = (
    "activation", "activation_params", "auto_pad", "axes", "axis", "dilations", "end", "group",
    "kernel_shape", "mode", "min", "max", "pads", "perm", "split", "start", "starts", "strides",
    "to", "transA", "transB", "value", "value_ints", "then_branch", "channels_last",
)  # fmt: skip
PATHS = st.sampled_from(
    ("", "[]", "['', 'a', 'b']", "[1, None]", "{1: 2}", "[" * 3000, "1" * 5000)
)


@st.composite
def mutated_graph(draw: st.DrawFn) -> bytes:
    proto = load(valid())
    for _ in range(draw(st.integers(1, 3))):
        if proto.graph.node and proto.graph.initializer:
            try:
                mutate(draw, proto)
            except (IndexError, OverflowError, ValueError):
                continue  # protobuf cannot hold it
    data: bytes = proto.SerializeToString()
    return data


def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all examples, which no other test writes to."""
    folder = tmp_path_factory.getbasetemp() / "hostile-models"
    folder.mkdir(exist_ok=True)
    return folder


def hold(path: Path, data: bytes, *words: str) -> int:
    path.write_bytes(data)
    return run_hostile(
        audit.main, [str(path), *words], name="latency.audit", folders=[path.parent]
    )


def test_the_valid_file_is_counted(tmp_path: Path) -> None:
    assert hold(tmp_path / "net.onnx", valid()) == 0


@examples(150)
@given(data=mutated_graph(), words=st.sampled_from(((), ("--input", "3x16x16"))))
def test_property_graphs(
    data: bytes, words: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    hold(own_folder(tmp_path_factory) / "graph.onnx", data, *words)


@examples(150)
@given(data=mutated_bytes(valid()))
def test_property_bytes(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    hold(own_folder(tmp_path_factory) / "bytes.onnx", data)


@cache
def program() -> dict[str, bytes]:
    """The files of an exported program, by name."""
    import tempfile

    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU()).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.pt2"
        torch.export.save(torch.export.export(net, (torch.zeros(1, 3, 16, 16),)), path)
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


@st.composite
def mutated_archive(draw: st.DrawFn) -> dict[str, bytes]:
    files = dict(program())
    name = draw(st.sampled_from(sorted(files)))
    action = draw(st.sampled_from(("bytes", "bytes", "bytes", "remove", "rename", "text")))
    content = files.pop(name)
    if action == "bytes":
        files[name] = draw(mutated_bytes(content))
    elif action == "rename":
        files[name + draw(st.sampled_from(("x", "/x", "\n", "../x")))] = content
    elif action == "text":
        words = (b"int", b"graph", b"conv2d", b"3", b"null", b'"', b"weight_0", b"16")
        old, new = (
            draw(st.sampled_from(words)),
            draw(st.sampled_from((*words, b"[" * 3000, b"-1"))),
        )
        files[name] = content.replace(old, new, draw(st.integers(1, 5)))
    return files


@examples(25)
@given(files=mutated_archive(), cut=st.none() | st.integers(0, 4000))
def test_property_programs(
    files: dict[str, bytes], cut: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = own_folder(tmp_path_factory) / "net.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    data = path.read_bytes()
    hold(path, data if cut is None or cut > 2000 else data[: len(data) - cut])
