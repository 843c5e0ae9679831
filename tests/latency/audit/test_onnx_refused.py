"""ONNX files that are damaged, contradict themselves, or keep their data elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from latency.audit.onnx_reader import read_file
from tests.helpers.onnx_models import counts, load, model, node, weights

W3, W1 = weights(8, 3, 3, 3), weights(4, 8, 1, 1)
STEM = node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1])
HEAD = node("Conv", ["b", "v"], ["y"], name="head")
STORED = {"w": W3, "v": W1}
BOTH = (8 * 3 * 9 * 32 * 32 + 4 * 8 * 32 * 32, W3.size + W1.size, [])


def external(proto: Any, *names: str) -> Any:
    for tensor in proto.graph.initializer:
        if tensor.name in names:
            onnx.external_data_helper.set_external_data(tensor, "net.data")
            tensor.ClearField("raw_data")
    return proto


def test_external_data(tmp_path: Path) -> None:
    """Weights are not read; sizes are, from a file beside the model alone."""
    proto = external(model([STEM, node("Relu", ["a"], ["b"]), HEAD], STORED), "w", "v")
    assert counts(proto, tmp_path) == BOTH
    nodes = [STEM, node("Reshape", ["a", "s"], ["b"]), HEAD]
    proto = external(model(nodes, {**STORED, "s": np.array([1, 8, 32, 32])}), "s")
    with pytest.raises(ValueError, match=r"net\.onnx: sizes are stored outside of the file, in"):
        counts(proto, tmp_path)
    (tmp_path / "net.data").write_bytes(np.array([1, 8, 32, 32]).tobytes())
    assert counts(proto, tmp_path) == BOTH
    (tmp_path / "inner").mkdir()
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../net.data"
    with pytest.raises(ValueError, match="it must be in the same folder"):
        counts(proto, tmp_path / "inner")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([STEM, HEAD], "Conv head reads 'b', which nothing makes"),
        ([STEM, node("Add", ["a", "y"], ["b"]), HEAD], "the graph has a cycle in or before Add b"),
        ([STEM, node("Relu", ["a"], ["a"])], "value 'a' is made twice, by Relu a too"),
        ([STEM, node("Relu", ["a"], ["w"])], "value 'w' is made twice, by Relu w too"),
        ([STEM], "output 'y' is made by nothing"),
        ([STEM, node("Reshape", ["a", "s"], ["b"]), HEAD], "Reshape b does not fit an input of"),
        ([STEM, node("Conv", ["a", "w"], ["y"])], "takes 3 channels; an input of 3x32x32 gives"),
        (
            [STEM, node("MaxPool", ["a"], ["b"], kernel_shape=[40, 40]), HEAD],
            "MaxPool b leaves nothing of an input of 3x32x32",
        ),
        (
            [STEM, node("Conv", ["a", "v"], ["y"], group=0)],
            "Conv y must have groups that divide 4 and strides|does not fit",
        ),
        (
            [node("Conv", ["x", "w"], ["y"], strides=[0, 0])],
            "Conv y does not fit an input of 3x32x32: .*strides must only contain positive",
        ),
    ],
)
def test_graphs_that_cannot_run(nodes: list[Any], message: str, tmp_path: Path) -> None:
    stored = {**STORED, "s": np.array([7, 7])}
    with pytest.raises(ValueError, match=message):
        counts(model(nodes, stored), tmp_path)


def test_unnamed_and_equal_names_of_nodes(tmp_path: Path) -> None:
    proto = model([STEM, node("Relu", ["a"], ["b"]), HEAD], STORED)
    for one in proto.graph.node:
        one.name = "same"
    assert counts(proto, tmp_path) == BOTH


def test_sizes_of_the_file(tmp_path: Path) -> None:
    proto = model([STEM], {"w": W3}, image=(1, 3, 1 << 40, 32), outputs=["a"])
    with pytest.raises(ValueError, match="must have no size above 65536"):
        counts(proto, tmp_path)
    proto = model([STEM], {"w": W3}, outputs=["a"])
    proto.graph.initializer[0].dims[0] = -8
    with pytest.raises(ValueError, match="tensor 'w' must have at most"):
        counts(proto, tmp_path)
    with (tmp_path / "huge.onnx").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match=r"huge\.onnx must have at most 2147483647 bytes"):
        read_file(tmp_path / "huge.onnx", None)
    with pytest.raises(ValueError, match="must be a file; it is a folder"):
        read_file(tmp_path, None)


def test_names_that_are_not_text(tmp_path: Path) -> None:
    data = model([STEM], {"w": W3}, outputs=["a"]).SerializeToString()
    bad = data.replace(b"Conv", b"\xff\xfe\xff\xfe")
    path = tmp_path / "net.onnx"
    path.write_bytes(bad)
    with pytest.raises(ValueError, match=r"net\.onnx"):
        read_file(path, None)
    assert load(data).graph.node
