"""Files of other programs, damaged in any way: one line, or they are read."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from evaluator.training.recipes.recipe import SHORT
from evaluator.training.teachers.open_teacher import open_teacher
from evaluator.training.teachers.teacher_config import TeacherConfig
from evaluator.training.weights.foreign_weights import read_state
from space.common.errors import G4nasError
from tests.helpers.hostile import examples, mutated_bytes, mutated_json

RECIPE = SHORT.changed(input=16)
CLASSES = ("cat", "dog", "fox")
STATED = {"mean": [0.5] * 3, "std": [0.25] * 3, "classes": list(CLASSES)}


def linear_file(metadata: dict[str, bytes] | None = None) -> bytes:
    """An ONNX file: the means of three channels times a matrix."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value.decode("utf-8", "replace")
    return bytes(model.SerializeToString())


def test_a_file_that_takes_any_size(tmp_path: Path) -> None:
    """It sees the student's size, or another that the user wants."""
    path = tmp_path / "t.onnx"
    path.write_bytes(linear_file())
    x = torch.randn(4, 3, 16, 16)
    for side, size in ((None, (16, 16)), (8, (8, 8))):
        teacher = open_teacher(TeacherConfig(name=str(path), input=side), RECIPE, CLASSES, "cpu")
        assert (teacher.network.size, teacher.on_device) == (size, False)
        assert teacher.text((16, 16)).endswith(
            "states no pixel statistics, so it gets those of the recipe"
        )
        torch.testing.assert_close(teacher.logits(x), teacher.view(x).mean((2, 3)))
    onnx.checker.check_model(linear_file())


@examples(30)
@given(content=mutated_bytes(linear_file()))
def test_property_onnx(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("onnx") / "t.onnx"
    path.write_bytes(content)
    try:
        open_teacher(TeacherConfig(name=str(path)), RECIPE, CLASSES, "cpu")
    except (ValueError, G4nasError) as error:
        assert "t.onnx" in str(error) and "\n" not in str(error)


@examples(30)
@given(name=st.sampled_from(sorted(STATED)), text=st.data())
def test_property_metadata(
    tmp_path_factory: pytest.TempPathFactory, name: str, text: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("onnx") / "t.onnx"
    stated = {key: json.dumps(value).encode() for key, value in STATED.items()}
    changed = text.draw(mutated_json(json.dumps(STATED[name])))
    path.write_bytes(linear_file(stated | {name: changed}))
    try:
        teacher = open_teacher(TeacherConfig(name=str(path)), RECIPE, CLASSES, "cpu")
    except (ValueError, G4nasError) as error:
        assert "t.onnx" in str(error) and "\n" not in str(error)
    else:
        assert len(teacher.network.mean) == 3 and min(teacher.network.std) > 0


def weights_file() -> bytes:
    out = io.BytesIO()
    torch.save({"state_dict": {"a.weight": torch.zeros(2, 3), "b": torch.ones(4)}}, out)
    return out.getvalue()


@examples(60)
@given(content=mutated_bytes(weights_file()), suffix=st.sampled_from([".pth", ".safetensors"]))
def test_property_weights(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("weights") / f"w{suffix}"
    path.write_bytes(content)
    try:
        found = read_state(path)
    except ValueError as error:
        assert f"w{suffix}" in str(error) and "\n" not in str(error)
    else:
        assert all(isinstance(value, torch.Tensor) for value in found.values())
