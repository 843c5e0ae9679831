"""TensorFlow Lite models: read back with LiteRT's own schema, and their numbers against torch's in
cases that no unit has. Units' outputs are compared in tests/latency/engines/test_engines.py."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from latency.engines.testing import EXAMPLES
from latency.engines.tflite import file as tflite_file
from latency.engines.tflite.writer import build_model
from latency.engines.weights import random_weights
from space.common.errors import MissingOpError
from space.graph import op
from space.graph.builder import GraphBuilder
from space.network.block import Block
from space.zoo.families import shufflenet_v2

UNIT = Block("shufflenet_v2", 6, 5, c_in=8, c_out=8, branch=4)


@pytest.fixture(scope="module")
def schema() -> Any:
    return pytest.importorskip("ai_edge_litert.schema_py_generated")


def read(schema: Any, data: bytes) -> Any:
    return schema.ModelT.InitFromPackedBuf(bytearray(data), 0)


def names(schema: Any, model: Any) -> list[str]:
    """Operators in their order, by the schema's names."""
    known = {v: n for n, v in vars(schema.BuiltinOperator).items() if not n.startswith("_")}
    codes = [known[code.builtinCode] for code in model.operatorCodes]
    return [codes[operator.opcodeIndex] for operator in model.subgraphs[0].operators]


class Stand:
    """A block of given steps: what the writer asks of a block."""

    def __init__(self, graph: GraphBuilder, c_in: int, height: int, width: int) -> None:
        self.steps = tuple(graph.steps)
        self.c_in, self.height, self.width = c_in, height, width


def torch_outputs(stand: Stand, x: np.ndarray) -> np.ndarray:
    """The outputs of steps without weights in torch, without their activations."""
    import torch

    from space.network.torch_module import BlockModule

    return BlockModule(stand)(torch.from_numpy(x)).numpy()


def run(stand: Stand, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(model_content=build_model([stand], batch=shape[0]))
    interpreter.allocate_tensors()
    (about,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(about["index"], np.ascontiguousarray(x.transpose(0, 2, 3, 1)))
    interpreter.invoke()
    return interpreter.get_tensor(result["index"]).transpose(0, 3, 1, 2)


def test_a_unit_by_hand(schema: Any) -> None:
    model = read(schema, build_model([UNIT], batch=2))
    assert model.version == 3 and len(model.subgraphs) == 1
    assert names(schema, model) == [
        "SPLIT", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "CONCATENATION", "RESHAPE",
        "TRANSPOSE", "RESHAPE",
    ]  # fmt: skip
    graph = model.subgraphs[0]
    shapes = [[int(size) for size in graph.tensors[op.outputs[0]].shape] for op in graph.operators]
    assert shapes[:5] == [[2, 6, 5, 4]] * 4 + [[2, 6, 5, 8]]
    assert shapes[5:] == [[2, 6, 5, 2, 4], [2, 6, 5, 4, 2], [2, 6, 5, 8]]
    first, depthwise = (graph.operators[i].builtinOptions for i in (1, 2))
    assert first.fusedActivationFunction == schema.ActivationFunctionType.RELU
    assert depthwise.fusedActivationFunction == schema.ActivationFunctionType.NONE
    assert (depthwise.depthMultiplier, depthwise.strideW, depthwise.dilationHFactor) == (1, 1, 1)
    assert {first.padding, depthwise.padding} == {schema.Padding.SAME}
    filters = [[int(n) for n in graph.tensors[graph.operators[i].inputs[1]].shape] for i in (1, 2)]
    assert filters == [[4, 1, 1, 4], [1, 3, 3, 4]]


@pytest.mark.parametrize("text", EXAMPLES)
def test_options_are_of_the_operator_they_stand_at(schema: Any, text: str) -> None:
    """The union's type belongs to the operator: CONV_2D has Conv2DOptions ..."""
    model = read(schema, build_model([Block.parse(text)]))
    expected = {
        "CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "MAX_POOL_2D": "Pool2D",
        "AVERAGE_POOL_2D": "Pool2D", "FULLY_CONNECTED": "FullyConnected", "MEAN": "Reducer",
        "CONCATENATION": "Concatenation", "ADD": "Add", "MUL": "Mul", "RESHAPE": "Reshape",
        "TRANSPOSE": "Transpose", "PAD": "Pad", "SPLIT": "Split", "STRIDED_SLICE": "StridedSlice",
    }  # fmt: skip
    operators = model.subgraphs[0].operators
    for name, operator in zip(names(schema, model), operators, strict=True):
        options = operator.builtinOptions
        wanted = expected.get(name)
        assert type(options).__name__ == (f"{wanted}OptionsT" if wanted else "NoneType")


def test_numbers_are_the_schemas(schema: Any) -> None:
    for name, kind in tflite_file.KINDS.items():
        plain = name.removesuffix(" of groups")
        assert getattr(schema.BuiltinOperator, plain) == kind.code
    assert schema.BuiltinOptions.PadV2Options == tflite_file.KINDS["PADV2"].options
    assert schema.ActivationFunctionType.RELU6 == tflite_file.ACTIVATIONS["relu6"]
    assert (schema.Padding.SAME, schema.Padding.VALID) == (tflite_file.SAME, tflite_file.VALID)


def test_constants_are_aligned_and_hold_the_weights(schema: Any) -> None:
    data = build_model([UNIT], weights=random_weights(3))
    model = schema.Model.GetRootAs(data, 0)
    weight, bias = random_weights(3)(0, 2, UNIT.ops[2])
    found = []
    for i in range(1, model.BuffersLength()):
        content = model.Buffers(i).DataAsNumpy()
        address = content.__array_interface__["data"][0]
        start = address - np.frombuffer(data, np.uint8).__array_interface__["data"][0]
        assert start % 16 == 0
        found.append(content.tobytes())
    assert weight.transpose(0, 2, 3, 1).tobytes() in found and bias.tobytes() in found


def test_slices_of_other_widths_are_strided(schema: Any) -> None:
    block = Block("shufflenet_v2", 6, 6, c_in=12, c_out=12, branch=8)
    assert names(schema, read(schema, build_model([block])))[:2] == ["STRIDED_SLICE"] * 2


@pytest.mark.parametrize(
    ("height", "stride", "padded"),
    [(7, 1, False), (7, 2, False), (8, 2, True), (8, 1, False)],
)
def test_padding_stands_where_torch_and_same_differ(
    schema: Any, height: int, stride: int, padded: bool
) -> None:
    """3x3 on 8 rows by 2: torch begins one row above the first, SAME on the first."""
    block = Block("conv", height, 7, c_in=2, c_out=2, kernel=3, stride=stride)
    assert ("PAD" in names(schema, read(schema, build_model([block])))) == padded


@pytest.mark.parametrize("kind", ["maxpool", "avgpool"])
@pytest.mark.parametrize("size", [(8, 8), (7, 8), (9, 6)])
@pytest.mark.parametrize("stride", [1, 2])
def test_pools_of_values_below_zero(kind: str, size: tuple[int, int], stride: int) -> None:
    """No unit pools what may be negative at its edges; a network of others might."""
    height, width = size
    g = GraphBuilder(3, height, width)
    g.pool(0, kind, kernel=3, stride=stride)
    stand, shape = Stand(g, 3, height, width), (2, 3, height, width)
    x = -np.random.default_rng(0).random(shape, dtype=np.float32) - 1
    np.testing.assert_allclose(run(stand, shape, x), torch_outputs(stand, x), rtol=1e-6)


@pytest.mark.parametrize(
    ("act", "sliced", "pad"),
    [("relu", False, "PAD"), ("relu", True, "PAD"), ("", False, "PADV2"), ("", True, "PADV2")],
)
def test_zeros_pad_a_maximum_only_of_what_cannot_be_below(
    schema: Any, act: str, sliced: bool, pad: str
) -> None:
    """XNNPACK has PAD and not PADV2, whose filling is given."""
    g = GraphBuilder(4, 8, 8)
    x = g.conv(0, 4, act=act)
    other = g.slice(x, 0, 2) if sliced else x
    x = g.slice(x, 2, 2) if sliced else x
    g.pool(other, "maxpool", kernel=3, stride=2)
    g.pool(x, "maxpool", kernel=3, stride=2)
    found = names(schema, read(schema, build_model([Stand(g, 4, 8, 8)])))
    assert [name for name in found if name.startswith("PAD")] == [pad] * 2


def test_activations_of_their_own() -> None:
    """After a shuffle, which cannot clip: relu6 and sigmoid."""
    for act in ("relu", "relu6", "sigmoid"):
        g = GraphBuilder(6, 4, 4)
        g.op("shuffle", (0,), 6, groups=3, act=act)
        stand, shape = Stand(g, 6, 4, 4), (1, 6, 4, 4)
        x = np.random.default_rng(0).normal(0, 8, shape).astype(np.float32)
        shuffled = torch_outputs(stand, x)
        clip = partial(np.clip, shuffled, 0)
        expected = {"relu": clip(None), "relu6": clip(6), "sigmoid": 1 / (1 + np.exp(-shuffled))}
        np.testing.assert_allclose(run(stand, shape, x), expected[act], rtol=1e-5, atol=1e-7)


def test_a_network_is_one_piece_for_xnnpack() -> None:
    """XNNPACK takes every operator: one that it has not would cut the network in two."""
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    model = build_model(shufflenet_v2("1.0").blocks)
    interpreter = litert.Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    details = interpreter._get_ops_details()
    assert [each["op_name"] for each in details].count("DELEGATE") == 1
    (delegate,) = (each for each in details if each["op_name"] == "DELEGATE")
    (about,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert about["index"] in delegate["inputs"] and result["index"] in delegate["outputs"]


def test_an_op_without_a_form_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(op, "KINDS", ("fold",))
    g = GraphBuilder(8, 4, 4)
    g.op("fold", (0,), 8)
    with pytest.raises(MissingOpError, match="no form for op kind 'fold'"):
        build_model([Stand(g, 8, 4, 4)])


@pytest.mark.parametrize(
    ("kind", "fields"), [("avgpool", {"kernel": 4, "stride": 4}), ("linear", {})]
)
def test_other_forms_are_refused(kind: str, fields: dict[str, int]) -> None:
    g = GraphBuilder(8, 8, 8)
    g.op(kind, (0,), 8, **fields)
    with pytest.raises(MissingOpError, match=rf"{kind}@8x8"):
        build_model([Stand(g, 8, 8, 8)])


def test_same_seed_same_bytes() -> None:
    one, two, other = (build_model([UNIT], weights=random_weights(seed)) for seed in (1, 1, 2))
    assert one == two != other and one[4:8] == b"TFL3"


def test_no_blocks() -> None:
    with pytest.raises(ValueError, match="at least one block; got none"):
        build_model([])


@pytest.mark.parametrize(
    ("act", "pad"),
    [("relu", "PAD"), ("hardsigmoid", "PAD"), ("hardswish", "PADV2"), ("silu", "PADV2")],
)
def test_padding_of_a_pool_after_an_activation(schema: Any, act: str, pad: str) -> None:
    """With zeros (PAD) where no value is below 0, as hard-swish's and SiLU's are; else with the
    lowest number."""
    graph = GraphBuilder(3, 8, 8)
    graph.pool(graph.conv(0, 4, kernel=3, act=act), "maxpool", kernel=3, stride=2)
    found = names(schema, read(schema, build_model([Stand(graph, 3, 8, 8)])))
    assert found[-2:] == [pad, "MAX_POOL_2D"]


def test_activations_of_one_or_more_operators(schema: Any) -> None:
    found = {}
    for act in ("relu6", "hardswish", "hardsigmoid", "silu"):
        graph = GraphBuilder(3, 8, 8)
        graph.conv(0, 4, act=act)
        found[act] = names(schema, read(schema, build_model([Stand(graph, 3, 8, 8)])))[1:]
    assert found == {
        "relu6": [],
        "hardswish": ["HARD_SWISH"],
        "hardsigmoid": ["ADD", "MUL"],
        "silu": ["LOGISTIC", "MUL"],
    }


@pytest.mark.parametrize(("side", "pads"), [(9, False), (10, True)])
def test_a_pool_without_padding_that_cuts_off_a_window(schema: Any, side: int, pads: bool) -> None:
    """9 has four whole windows of 3 at stride 2; of 10 the fifth has two columns."""
    graph = GraphBuilder(2, side, side)
    graph.pool(0, "maxpool", kernel=3, stride=2, valid=1)
    stand = Stand(graph, 2, side, side)
    found = names(schema, read(schema, build_model([stand])))
    assert found == (["PADV2"] if pads else []) + ["MAX_POOL_2D"]
    x = -np.random.default_rng(0).random((1, 2, side, side), dtype=np.float32)
    np.testing.assert_array_equal(run(stand, x.shape, x), torch_outputs(stand, x))
