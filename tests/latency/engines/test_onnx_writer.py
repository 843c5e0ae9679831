"""The ONNX writer against a plain interpreter of the steps in numpy."""

import numpy as np
import onnx
import onnxruntime
import pytest

from latency.engines.onnx.writer import build_model, write_onnx
from latency.engines.weights import random_weights
from space.graph.op import ACTIVATIONS
from space.network.block import Block
from space.zoo.families import mobilenet_v2, shufflenet_v1, shufflenet_v2

UNITS = [
    "stem@8x8 c_in=3 c_out=4",
    "stem@9x9 c_out=4 pool=0 relu6=1",
    "conv@6x6 c_in=4 c_out=8 kernel=3 stride=2 groups=2",
    "shufflenet_v2@6x6 c_in=8 c_out=8 branch=4",
    "shufflenet_v2@6x6 c_in=12 c_out=12 branch=8 kernel=5",
    "shufflenet_v2@6x6 c_in=6 c_out=12 branch=6 stride=2",
    "shufflenet_v2@6x6 c_in=8 c_out=8 branch=4 residual=1 extra_relu=1",
    "shufflenet_v2@6x6 c_in=8 c_out=8 branch=4 groups=2 fragments=2",
    "shufflenet_v2@6x6 c_in=8 c_out=8 branch=4 fragments=2 serial=1 mid=8",
    "shufflenet_v1@6x6 c_in=12 c_out=12 groups=3",
    "shufflenet_v1@6x6 c_in=12 c_out=24 groups=3 stride=2",
    "inverted_residual@5x5 c_in=4 c_out=4 residual=1",
    "separable@5x5 c_in=4 c_out=6",
    "head@4x4 c_in=6 c_out=8 classes=5",
    "classifier@4x4 c_in=6 classes=5",
    "mbconv@7x6 c_in=4 c_out=4 mid=8 kernel=5 act=2 se=3 residual=1",
    "mbconv@6x6 c_in=4 c_out=6 mid=8 stride=2 act=3 se=3",
    "squeezenet_stem@12x15 c_out=4",
    "fire@8x7 c_in=4 squeeze=3 c_out=8 pool=1",
    "squeezenet_head@4x4 c_in=6 classes=5",
]


def windows(x, kernel, stride, fill=0.0, valid=0):
    """[n, c, h, w] to [n, c, h', w', kernel * kernel], padded by kernel // 2. A `valid` pool is
    padded at the far edges alone, where windows are cut off."""
    near = 0 if valid else kernel // 2
    pads = [(near, near)] * 2
    if valid and fill:
        pads = [(0, -(size - kernel) % stride) for size in x.shape[2:]]
    x = np.pad(x, ((0, 0), (0, 0), *pads), constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))
    view = view[:, :, ::stride, ::stride]
    return view.reshape(*view.shape[:4], -1)


def run_op(op, inputs, parameters):
    x = inputs[0]
    n = len(x)
    if op.kind in ("conv", "dwconv"):
        weight, bias = parameters
        groups = op.c_in if op.kind == "dwconv" else op.groups
        parts = np.split(windows(x, op.kernel, op.stride, valid=op.valid), groups, axis=1)
        weights = np.split(weight.reshape(*weight.shape[:2], -1), groups)
        outs = [np.einsum("nchwk,ock->nohw", p, w) for p, w in zip(parts, weights, strict=True)]
        y = np.concatenate(outs, axis=1) + bias[None, :, None, None]
    elif op.kind == "linear":
        y = x.reshape(n, -1) @ parameters[0].T + parameters[1]
    elif op.kind == "maxpool":
        y = windows(x, op.kernel, op.stride, -np.inf, op.valid).max(axis=-1)
    elif op.kind == "avgpool":
        y = windows(x, op.kernel, op.stride).mean(axis=-1)
    elif op.kind == "globalpool":
        y = x.mean(axis=(2, 3), keepdims=True)
    elif op.kind == "slice":
        y = x[:, op.start : op.start + op.c_out]
    elif op.kind in ("concat", "shuffle"):
        y = np.concatenate(inputs, axis=1)
        order = np.arange(op.c_out).reshape(op.groups, -1).T.ravel()
        y = y[:, order]
    elif op.kind == "add":
        y = inputs[0] + inputs[1]
    elif op.kind == "mul":
        y = x * inputs[1].reshape(n, -1, 1, 1)
    elif op.kind == "flatten":
        y = x.reshape(n, -1)
    else:
        assert op.kind == "relu"
        y = np.maximum(x, 0)
    acts = {
        "": lambda v: v,
        "relu": lambda v: np.maximum(v, 0),
        "relu6": lambda v: np.clip(v, 0, 6),
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "hardsigmoid": lambda v: np.clip(v + 3, 0, 6) / 6,
        "hardswish": lambda v: v * np.clip(v + 3, 0, 6) / 6,
        "silu": lambda v: v / (1 + np.exp(-v)),
    }
    return acts[op.act](y)


def run_blocks(blocks, x, weights):
    for index, block in enumerate(blocks):
        values = [x]
        for i, step in enumerate(block.steps):
            has_weights = step.op.kind in ("conv", "dwconv", "linear")
            parameters = weights(index, i, step.op) if has_weights else None
            values.append(run_op(step.op, [values[j] for j in step.inputs], parameters))
        x = values[-1]
    return x


def keep(weights):
    """A provider that gives the same weights again when asked again."""
    cache = {}

    def provider(block, step, op):
        if (block, step) not in cache:
            cache[block, step] = weights(block, step, op)
        return cache[block, step]

    return provider


def run_model(model, x):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"input": x})[0]


@pytest.mark.parametrize("text", UNITS)
def test_same_as_interpreter(text):
    block = Block.parse(text)
    weights = keep(random_weights(1))
    model = build_model([block], batch=2, weights=weights)
    onnx.checker.check_model(model, full_check=True)
    shape = (2, block.c_in, block.height, block.width)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    expected = run_blocks([block], x, weights)
    found = run_model(model, x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_units_above_have_these_op_kinds():
    kinds = {op.kind for text in UNITS for op in Block.parse(text).ops}
    pools = {"maxpool", "avgpool", "globalpool"}
    joins = {"slice", "concat", "shuffle", "add", "mul", "flatten"}
    assert kinds >= pools | joins | {"conv", "dwconv", "linear", "relu"}


def test_units_above_have_these_activations():
    acts = {op.act for text in UNITS for op in Block.parse(text).ops}
    assert acts == set(ACTIVATIONS)


def test_chain_and_named_batch():
    network = shufflenet_v2("0.5", 32, 32)
    weights = keep(random_weights(3))
    model = build_model(network.blocks, batch="n", weights=weights)
    x = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)
    np.testing.assert_allclose(
        run_model(model, x), run_blocks(network.blocks, x, weights), rtol=1e-3, atol=1e-4
    )


def test_slices_that_cut_an_input_whole_are_one_split():
    block = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)
    kinds = [node.op_type for node in build_model([block]).graph.node]
    assert kinds.count("Split") == 1 and "Slice" not in kinds


@pytest.mark.parametrize("network", [shufflenet_v1("0.5"), mobilenet_v2(0.15)])
def test_other_networks_are_valid(network):
    onnx.checker.check_model(build_model(network.blocks), full_check=True)


def test_same_seed_same_bytes():
    blocks = [Block("head", 4, 4, c_in=6, c_out=8, classes=5)]
    one, two = (build_model(blocks, weights=random_weights(7)) for _ in range(2))
    other = build_model(blocks, weights=random_weights(8))
    assert one.SerializeToString() == two.SerializeToString() != other.SerializeToString()


def test_refuses_weights_of_another_shape():
    def weights(block, step, op):
        return np.zeros((1, 1, 1, 1), np.float32), np.zeros(1, np.float32)

    with pytest.raises(ValueError, match=r"must have shapes \(8, 4, 1, 1\)"):
        build_model([Block("conv", 4, 4, c_in=4, c_out=8)], weights=weights)


def test_a_file_of_a_network(tmp_path):
    network = shufflenet_v2("0.5", 32, 32)
    path = tmp_path / "new" / "network.onnx"
    write_onnx(network, path, weights=random_weights(3))
    model = onnx.load(path)
    assert model.graph.name == network.name and list(path.parent.iterdir()) == [path]
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)
    expected = build_model(network.blocks, batch=2, weights=random_weights(3))
    np.testing.assert_allclose(run_model(model, x), run_model(expected, x), rtol=1e-5, atol=1e-6)


def test_refuses_no_blocks():
    with pytest.raises(ValueError, match="at least one block"):
        build_model([])
