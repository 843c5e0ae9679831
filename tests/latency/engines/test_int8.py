"""The int8 models of both writers: scales and structure by hand, and against the engines' own
tool. That their outputs agree with torch's is in the contract of engines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from latency.engines.ncnn import int8 as ncnn_int8
from latency.engines.onnx import writer as onnx_graph
from latency.engines.onnx.int8 import quantised, scale_and_zero, value_ranges
from latency.engines.weights import random_weights
from space.network.block import Block

UNIT = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)


def int8(*blocks: Block, seed: int = 0) -> onnx.ModelProto:
    model = onnx_graph.build_model(blocks, weights=random_weights(seed))
    return quantised(model, value_ranges(model))


def kinds(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def session(model: onnx.ModelProto | str, optimised: Path | None = None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if optimised:
        options.optimized_model_filepath = str(optimised)
    data = model if isinstance(model, str) else model.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def images(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def test_scales_by_hand() -> None:
    scale, zero = scale_and_zero(-1.0, 1.55)
    assert scale == pytest.approx(0.01) and zero == 100
    assert scale_and_zero(0.5, 2.55) == (np.float32(0.01), 0)  # zero itself is in the range
    assert scale_and_zero(-2.55, -1.0) == (np.float32(0.01), 255)
    assert scale_and_zero(0.0, 0.0) == (1, 0)


def test_ranges_of_a_mean() -> None:
    """Global average pool alone, on the images that ranges are taken from."""
    model = onnx_graph.build_model([Block("classifier", 3, 3, c_in=5, classes=2)], batch=2)
    found = value_ranges(model)
    x = images(1, 2, 5, 3, 3)
    mean = x.mean(axis=(2, 3))
    assert found["input"] == (x.min(), x.max())
    assert found["b0s0"] == pytest.approx((mean.min(), mean.max()))
    assert found["output"][0] < found["output"][1]


def test_nothing_but_the_ends_is_in_float() -> None:
    found = kinds(int8(UNIT, UNIT))
    assert (found.pop("QuantizeLinear"), found.pop("DequantizeLinear")) == (1, 1)
    convolutions = {"Split": 2, "QLinearConv": 6, "QLinearConcat": 2}
    assert found == convolutions | {"Reshape": 4, "Transpose": 2}


@pytest.mark.parametrize(
    "text, more",
    [
        ("shufflenet_v1@6x6 c_in=12 c_out=12 groups=3", {"QLinearAdd": 1}),
        ("shufflenet_v2@6x6 c_in=8 c_out=8 branch=4 extra_relu=1", {"QLinearConcat": 1}),
        ("bottleneck@6x6 c_in=8 c_out=8 mid=4 se=2", {"QLinearMul": 1, "QLinearSigmoid": 1}),
        ("inverted_residual@6x6 c_in=8 c_out=8", {"QLinearConv": 3}),
    ],
)
def test_activations_lie_in_the_ranges(text: str, more: dict[str, int]) -> None:
    found = kinds(int8(Block.parse(text)))
    assert not found.keys() & {"Relu", "Clip"}
    assert more.items() <= found.items()


def test_batch_norm_stays_in_float() -> None:
    found = kinds(int8(Block("dense_layer", 6, 6, c_in=8, growth=4)))
    assert (found["BatchNormalization"], found["Relu"], found["QLinearConv"]) == (1, 1, 2)
    assert (found["QuantizeLinear"], found["DequantizeLinear"]) == (2, 1)


class Calibration:
    """What quantize_static reads: the images that ranges are taken from."""

    def __init__(self, *shape: int) -> None:
        self._images: Iterator[dict[str, np.ndarray]] = iter([{"input": images(1, *shape)}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._images, None)


@pytest.mark.slow
@pytest.mark.parametrize("style", ["QDQ", "QOperator"])
def test_the_graph_that_onnxruntimes_own_tool_leads_to(style: str, tmp_path: Path) -> None:
    """Optimised, the same operators; and nearly the same answers."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    blocks = [
        Block("stem", 32, 32, c_out=8),
        Block("shufflenet_v2", 8, 8, c_in=8, c_out=16, branch=8, stride=2),
        Block("shufflenet_v2", 4, 4, c_in=16, c_out=16, branch=8),
        Block("inverted_residual", 4, 4, c_in=16, c_out=16, residual=1),
        Block("head", 4, 4, c_in=16, c_out=32, classes=10),
    ]
    model = onnx_graph.build_model(blocks)
    theirs = tmp_path / "theirs.onnx"
    quantize_static(
        model,
        theirs,
        Calibration(1, 3, 32, 32),
        quant_format=QuantFormat[style],
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    optimised = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    runs = [session(int8(*blocks), optimised[0]), session(str(theirs), optimised[1])]
    ours, other = (kinds(onnx.load(path)) for path in optimised)
    assert ours == other
    x = images(0, 1, 3, 32, 32)
    got, expected = (run.run(None, {"input": x})[0] for run in runs)
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.999


def ncnn_lines(*blocks: Block) -> dict[str, list[str]]:
    """Layer name -> its words."""
    text, _ = ncnn_int8.build_model(blocks, weights=random_weights(0))
    return {words[1]: words for words in map(str.split, text.splitlines()[2:])}


def test_what_an_ncnn_convolution_gives() -> None:
    """Parameter 8 as ncnn2int8 sets it: 2 a scale per channel, 1 per group, 100 more where the
    output is int8 because the next convolution wants it so."""
    lines = ncnn_lines(UNIT)
    assert [lines[name][-1] for name in ("b0s2", "b0s3", "b0s4")] == ["8=102", "8=101", "8=2"]


def test_a_split_between_ncnn_convolutions_passes_int8() -> None:
    wide = Block("conv", 6, 6, c_in=4, c_out=8)
    strided = Block("shufflenet_v2", 6, 6, c_in=8, c_out=16, branch=8, stride=2)
    assert "8=102" in ncnn_lines(wide, strided)["b0s0"]
    joined = Block("inverted_residual", 6, 6, c_in=8, c_out=8, residual=1)
    assert "8=2" in ncnn_lines(wide, joined)["b0s0"]  # the shortcut reads it too


def test_grouped_ncnn_convolutions_stay_in_float() -> None:
    grouped = Block("conv", 6, 6, c_in=8, c_out=16, groups=2)
    dense = Block("conv", 6, 6, c_in=8, c_out=8)
    lines = ncnn_lines(dense, grouped)
    assert not any(word.startswith("8=") for word in lines["b1s0"])
    assert "8=2" in lines["b0s0"]  # no int8 for a layer that cannot read it
    assert any(word.startswith("8=") for word in ncnn_lines(dense, dense)["b1s0"])


def test_ncnn_weights_by_hand() -> None:
    """Tag, int8 weights padded to 4 bytes, bias, 127 over each channel's largest weight, 127 over
    the input's largest value."""
    weight = np.array([[0.5, -1.0, 0.25], [0.0, 0.0, 0.0]], np.float32)[:, :, None, None]
    bias = np.array([3.0, 4.0], np.float32)
    block = Block("conv", 2, 2, c_in=3, c_out=2)
    _, data = ncnn_int8.build_model([block], weights=lambda *_: (weight, bias))
    assert data[:4] == bytes.fromhex("384b0d00")
    assert list(np.frombuffer(data[4:12], np.int8)) == [64, -127, 32, 0, 0, 0, 0, 0]
    largest = images(1, 1, 3, 2, 2).max()
    floats = np.frombuffer(data[12:], "<f4")
    assert floats == pytest.approx([3, 4, 127, 127, 127 / largest])


@pytest.mark.parametrize("write", [partial(ncnn_int8.build_model), None])
def test_same_seed_same_bytes(write: Any) -> None:
    def made(seed: int) -> Any:
        if write is None:
            return int8(UNIT, seed=seed).SerializeToString()
        return write([UNIT], weights=random_weights(seed))

    assert made(0) == made(0) != made(1)
