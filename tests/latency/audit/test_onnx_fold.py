"""ONNX files whose shapes, order or control flow must be worked out, counted by hand."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.helpers.onnx_models import audited, counts, model, node, weights

W3, W1 = weights(8, 3, 3, 3), weights(4, 8, 1, 1)
FIRST, SECOND = 8 * 3 * 9 * 32 * 32, 4 * 8 * 32 * 32
STEM = node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1])
HEAD = node("Conv", ["b", "v"], ["y"], name="head")
STORED = {"w": W3, "v": W1}
BOTH = (FIRST + SECOND, W3.size + W1.size, [])


def sized(opset: int) -> Any:
    """Two halves of the channels by computed places, joined in the other order; then a map whose
    height and width are flattened and restored by computed sizes: as exporters write `chunk` and
    `view(x.size(0), -1)`."""
    old = opset < 13
    squeeze = (
        node("Unsqueeze", ["half"], ["half1"], axes=[0])
        if old
        else node("Unsqueeze", ["half", "zero1"], ["half1"])
    )
    nodes = [
        STEM,
        node("Shape", ["a"], ["s"]),
        node("Gather", ["s", "one"], ["c"], axis=0),
        node("Add", ["c", "one"], ["c1"]),
        node("Div", ["c1", "two"], ["half"]),
        squeeze,
        node("Mul", ["half1", "two"], ["all"]),
        *(
            node("Slice", ["a", begin, end, "one1"], [out])
            for begin, end, out in (("zero1", "half1", "p"), ("half1", "all", "q"))
        ),
        node("Concat", ["q", "p"], ["j"], axis=1),
        node("Gather", ["s", "zero"], ["n"], axis=0),
        node("Unsqueeze", ["n"], ["n1"], axes=[0])
        if old
        else node("Unsqueeze", ["n", "zero1"], ["n1"]),
        node("Concat", ["n1", "minus1"], ["flat"], axis=0),
        node("Reshape", ["j", "flat"], ["f"]),
        node("Reshape", ["f", "s"], ["b"]),
        HEAD,
    ]
    numbers = {"one": 1, "two": 2, "zero": 0, "one1": [1], "zero1": [0], "minus1": [-1]}
    stored = {**STORED, **{name: np.array(value) for name, value in numbers.items()}}
    return model(nodes, stored, image=("n", 3, 32, 32), opset=opset)


@pytest.mark.parametrize("opset", [10, 11, 13, 15, 18, 23])
def test_sizes_are_computed(opset: int, tmp_path: Path) -> None:
    proto = sized(opset)
    assert counts(proto, tmp_path) == BOTH
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8
    assert counts(proto, tmp_path) == BOTH


def test_order_of_nodes_does_not_matter(tmp_path: Path) -> None:
    proto = sized(17)
    expected = audited(proto, tmp_path)
    nodes = list(proto.graph.node)
    for seed in range(5):
        random.Random(seed).shuffle(nodes)
        del proto.graph.node[:]
        proto.graph.node.extend(nodes)
        found = audited(proto, tmp_path)
        assert found.network.numbers == expected.network.numbers
        assert found.unknown == ()


def test_stored_shapes_of_values_are_not_read(tmp_path: Path) -> None:
    """Those of another size and of a batch of 8, and of the output."""
    proto = model([STEM, node("Relu", ["a"], ["b"]), HEAD], STORED, image=("n", 3, "h", "w"))
    for name, shape in (("a", [8, 8, 224, 224]), ("b", [8, 8, 224, 224])):
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        proto.graph.value_info.append(info)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [8, 4, 224, 224])
    proto.graph.output[0].CopyFrom(output)
    assert counts(proto, tmp_path, (3, 32, 32)) == BOTH


def choice(condition: Any, then: list[Any], other: list[Any], **graph: Any) -> Any:
    branches = {
        f"{name}_branch": helper.make_graph(
            nodes, name, [], [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)], **graph
        )
        for name, nodes in (("then", then), ("else", other))
    }
    return node("If", [condition], ["b"], name="choice", **branches)


@pytest.mark.parametrize("known", [True, False])
def test_a_constant_condition_chooses_the_branch(known: bool, tmp_path: Path) -> None:
    """The branches read an outer value and weights of their own, under names used outside too."""
    own = [numpy_helper.from_array(weights(8, 8, 1, 1), "k")]
    branch = choice(
        "c",
        [node("Conv", ["a", "k"], ["t"]), node("Relu", ["t"], ["r"])],
        [node("Identity", ["a"], ["r"])],
        initializer=own,
    )
    tail = node("Relu", ["b"], ["t"])  # the name of a value in a branch
    head = node("Conv", ["t", "v"], ["y"])
    proto = model([STEM, branch, tail, head], {**STORED, "c": np.array(known)})
    flops, params, unknown = counts(proto, tmp_path)
    assert (flops, params) == (BOTH[0] + known * 64 * 32 * 32, BOTH[1] + known * 64)
    assert unknown == []


def test_a_condition_of_sizes_is_constant(tmp_path: Path) -> None:
    """As exporters write `squeeze`: squeezed if the size is 1, else as it is."""
    nodes = [
        STEM,
        node("Shape", ["a"], ["s"]),
        node("Gather", ["s", "two"], ["size"]),
        node("Equal", ["size", "one"], ["c"]),
        choice("c", [node("Squeeze", ["a"], ["r"])], [node("Identity", ["a"], ["r"])]),
        HEAD,
    ]
    proto = model(nodes, {**STORED, "two": np.array(2), "one": np.array(1)})
    assert counts(proto, tmp_path) == BOTH


def test_another_condition_is_unknown(tmp_path: Path) -> None:
    """Where both branches have one shape, what is behind them is counted; else it is unknown."""
    condition = [node("ReduceMean", ["a"], ["m"], keepdims=0), node("Greater", ["m", "z"], ["c"])]
    same = choice("c", [node("Relu", ["a"], ["r"])], [node("Identity", ["a"], ["r"])])
    stored = {**STORED, "z": np.array(0, np.float32)}
    flops, _, unknown = counts(model([STEM, *condition, same, HEAD], stored), tmp_path)
    assert (flops, unknown) == (BOTH[0], ["ReduceMean", "Greater", "If"])
    other = choice("c", [node("Flatten", ["a"], ["r"])], [node("Identity", ["a"], ["r"])])
    found = audited(model([STEM, *condition, other, HEAD], stored), tmp_path)
    assert found.network.numbers.flops == FIRST
    assert [u.source for u in found.unknown] == ["ReduceMean", "Greater", "If", "Conv"]
    assert ["no fixed shape" in u.missing for u in found.unknown] == [False, False, False, True]


def test_loops_are_unknown(tmp_path: Path) -> None:
    body = helper.make_graph(
        [node("Conv", ["i", "k"], ["o"]), node("Identity", ["go"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("n", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("i", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("o", TensorProto.FLOAT, None),
        ],
    )
    loop = node("Loop", ["times", "", "a"], ["b"], body=body)
    stored = {**STORED, "times": np.array(3), "k": weights(8, 8, 1, 1)}
    found = audited(model([STEM, loop, HEAD], stored), tmp_path)
    assert "Loop" in [unknown.source for unknown in found.unknown]


def test_every_result_of_an_operator_leads_on(tmp_path: Path) -> None:
    """The second result of an operator depends on the image as the first does."""
    nodes = [STEM, node("TopK", ["a", "k"], ["values", "b"], axis=3), HEAD]
    proto = model(nodes, {**STORED, "k": np.array([32])})
    assert counts(proto, tmp_path) == (*BOTH[:2], ["TopK"])


def test_functions_are_inlined(tmp_path: Path) -> None:
    function = helper.make_function(
        "local",
        "Layer",
        ["i", "k"],
        ["o"],
        [node("Conv", ["i", "k"], ["t"]), node("Relu", ["t"], ["o"])],
        [helper.make_opsetid("", 17)],
    )
    call = node("Layer", ["a", "v"], ["y"], domain="local")
    proto = model([STEM, call], STORED)
    proto.functions.append(function)
    proto.opset_import.append(helper.make_opsetid("local", 1))
    assert counts(proto, tmp_path) == BOTH
    function.node.append(node("Layer", ["t", "k"], ["more"], domain="local"))
    proto.functions[0].CopyFrom(function)
    with pytest.raises(ValueError, match="function Layer calls itself"):
        counts(proto, tmp_path)


def test_functions_that_multiply_are_refused(tmp_path: Path) -> None:
    """Thirty functions that call the next one twice: a thousand million nodes."""
    proto = model([node("F0", ["x"], ["y"], domain="f")], {})
    proto.opset_import.append(helper.make_opsetid("f", 1))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    for number in range(30):
        op, domain = (f"F{number + 1}", "f") if number < 29 else ("Relu", "")
        calls = [node(op, ["i"], ["t"], domain=domain), node(op, ["t"], ["o"], domain=domain)]
        body = helper.make_function("f", f"F{number}", ["i"], ["o"], calls, opsets)
        proto.functions.append(body)
    with pytest.raises(ValueError, match="must have at most 1000000 nodes"):
        counts(proto, tmp_path)


def test_tensors_that_are_inputs_too(tmp_path: Path) -> None:
    """Files of old versions declare every stored tensor as an input."""
    proto = model([STEM, node("Relu", ["a"], ["b"]), HEAD], STORED)
    for name, value in STORED.items():
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape)
        proto.graph.input.insert(0, info)
    assert counts(proto, tmp_path) == BOTH


def test_sparse_tensors_count_as_dense(tmp_path: Path) -> None:
    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("v_places", TensorProto.INT64, [1], [3])
    sparse = helper.make_sparse_tensor(values, places, [4, 8, 1, 1])
    nodes = [STEM, node("Relu", ["a"], ["b"]), HEAD]
    assert counts(model(nodes, {"w": W3}, sparse_initializer=[sparse]), tmp_path) == BOTH


def test_nothing_large_is_computed(tmp_path: Path) -> None:
    """A range of 10^12 numbers and a product of it with itself."""
    nodes = [
        node("Range", ["zero", "most", "one"], ["r"]),
        node("Unsqueeze", ["r", "axis"], ["column"]),
        node("Mul", ["r", "column"], ["square"]),
        node("Shape", ["square"], ["s"]),
        node("Cast", ["s"], ["f"], to=1),
        node("ReduceMean", ["f"], ["m"], keepdims=0),
        node("Mul", ["a", "m"], ["b"]),
    ]
    stored = {"zero": np.array(0), "most": np.array(10**12), "one": np.array(1)}
    stored |= {**STORED, "axis": np.array([1])}
    assert counts(model([STEM, *nodes, HEAD], stored), tmp_path) == BOTH


def test_what_no_output_needs_does_not_run(tmp_path: Path) -> None:
    spare = node("Conv", ["a", "v"], ["spare"])
    nodes = [STEM, spare, node("Relu", ["a"], ["b"]), HEAD]
    assert counts(model(nodes, STORED), tmp_path) == BOTH
