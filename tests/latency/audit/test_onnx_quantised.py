"""Quantised and fused ONNX files: the counts of the float network that they come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from tests.helpers.onnx_models import audited, counts, load, model, node, weights

FLOPS = 8 * 3 * 9 * 16 * 16 + 8 * 9 * 16 * 16 + 12 * 8 * 16 * 16 + 10 * 12
STORED = {
    "w": weights(8, 3, 3, 3),
    "b": weights(8),
    "d": weights(8, 1, 3, 3),
    "db": weights(8),
    "p": weights(12, 8, 1, 1),
    "pb": weights(12),
    "f": weights(12, 10),
    "fb": weights(10),
}
STORED = {name: value + number for number, (name, value) in enumerate(STORED.items())}
PARAMS = sum(value.size for value in STORED.values())


def network() -> Any:
    """A convolution, a depthwise one, a shortcut, a 1x1 convolution and a classifier."""
    nodes = [
        node("Conv", ["x", "w", "b"], ["c1"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Clip", ["c1", "low", "high"], ["r1"]),
        node("Conv", ["r1", "d", "db"], ["c2"], group=8, pads=[1, 1, 1, 1]),
        node("Add", ["r1", "c2"], ["s"]),
        node("Conv", ["s", "p", "pb"], ["c3"]),
        node("Relu", ["c3"], ["r3"]),
        node("GlobalAveragePool", ["r3"], ["g"]),
        node("Flatten", ["g"], ["v"]),
        node("Gemm", ["v", "f", "fb"], ["y"]),
    ]
    limits = {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
    proto = model(nodes, {**STORED, **limits}, opset=17)
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, [1, 10]))
    return proto


class OneImage(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        self.left = [{"x": weights(1, 3, 32, 32)}]

    def get_next(self) -> Any:
        return self.left.pop() if self.left else None


def dynamic(source: Path, target: Path, **options: Any) -> None:
    quantize_dynamic(source, target, op_types_to_quantize=["Conv", "MatMul", "Gemm"], **options)


def static(source: Path, target: Path, **options: Any) -> None:
    options = {"per_channel": True, "activation_type": QuantType.QUInt8, **options}
    quantize_static(source, target, OneImage(), **options)


@pytest.mark.parametrize(
    ("quantise", "options", "op"),
    [
        (dynamic, {}, "ConvInteger"),
        (dynamic, {"per_channel": True}, "MatMulInteger"),
        (static, {"quant_format": QuantFormat.QDQ}, "DequantizeLinear"),
        (static, {"quant_format": QuantFormat.QOperator}, "QLinearConv"),
        (static, {"quant_format": QuantFormat.QOperator, "per_channel": False}, "QLinearAdd"),
    ],
)
def test_quantised_as_float(
    quantise: Callable[..., None], options: dict[str, Any], op: str, tmp_path: Path
) -> None:
    assert counts(network(), tmp_path) == (FLOPS, PARAMS, [])
    quantise(tmp_path / "net.onnx", tmp_path / "int8.onnx", **options)
    proto = load((tmp_path / "int8.onnx").read_bytes())
    assert op in {one.op_type for one in proto.graph.node}
    found = audited(proto, tmp_path)
    assert (found.network.numbers.flops, found.network.numbers.params) == (FLOPS, PARAMS)
    assert found.unknown == ()
    assert found.held_params == PARAMS


@pytest.mark.parametrize("level", ["ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED"])
def test_what_onnx_runtime_fuses(level: str, tmp_path: Path) -> None:
    import onnxruntime

    onnx.save(network(), tmp_path / "net.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(
        str(tmp_path / "net.onnx"), options, providers=["CPUExecutionProvider"]
    )
    proto = load((tmp_path / "fused.onnx").read_bytes())
    fused = any(one.domain == "com.microsoft" for one in proto.graph.node)
    assert fused == (level == "ORT_ENABLE_EXTENDED")
    assert counts(proto, tmp_path) == (FLOPS, PARAMS, [])


FUSED = {"domain": "com.microsoft"}
W1 = weights(8, 3, 1, 1)


@pytest.mark.parametrize(
    ("nodes", "acts"),
    [
        ([node("FusedConv", ["x", "w"], ["y"], activation="Relu", **FUSED)], ["relu"]),
        (
            [
                node("Conv", ["x", "w"], ["z"]),
                node("FusedConv", ["x", "w", "", "z"], ["y"], activation="Relu", **FUSED),
            ],
            ["", "", "", "relu"],
        ),
        (
            [
                node(
                    "FusedConv", ["x", "w"], ["y"], activation="Clip",
                    activation_params=[0.0, 6.0], **FUSED
                )
            ],
            ["relu6"],
        ),
        ([node("Conv", ["x", "w"], ["c"]), node("Gelu", ["c"], ["y"], **FUSED)], ["gelu"]),
        ([node("Conv", ["x", "w"], ["c"]), node("FastGelu", ["c"], ["y"], **FUSED)], ["gelu"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("opset", [9, 13, 20])
def test_fused_operators(nodes: list[Any], acts: list[str], opset: int, tmp_path: Path) -> None:
    found = audited(model(nodes, {"w": W1}, opset=opset), tmp_path)
    convs = sum("Conv" in one.op_type for one in nodes)
    assert found.network.numbers.flops == convs * 24 * 32 * 32
    assert found.network.numbers.params == 24
    assert [layer.act for layer in found.layers] == acts or found.layers[-1].act == acts[-1]
    assert found.unknown == ()


@pytest.mark.parametrize(
    "odd",
    [
        node("FusedConv", ["x", "w"], ["a"], activation="Squash", domain="com.microsoft"),
        node("NhwcFusedConv", ["x", "w"], ["a"], domain="com.microsoft"),
        node("Conv", ["x", "w"], ["a"], domain="com.microsoft.nchwc"),
        node("Sharpen", ["x"], ["a"], domain="mine"),
    ],
)
def test_operators_whose_meaning_is_not_plain(odd: Any, tmp_path: Path) -> None:
    proto = model([odd, node("Conv", ["a", "v"], ["y"])], {"w": W1, "v": W1}, opset=17)
    for domain in ("com.microsoft.nchwc", "mine"):
        proto.opset_import.append(helper.make_opsetid(domain, 1))
    flops, _, unknown = counts(proto, tmp_path)
    assert flops == 0
    assert unknown == [f"{odd.domain}.{odd.op_type}", "Conv"]


@pytest.mark.parametrize(
    ("places", "axis", "kinds"),
    [
        (np.array(1), 1, []),
        (np.array([2, 3, 4]), 1, ["slice"]),
        (np.array([-1]), 1, ["slice"]),
        (np.array([0, 2, 4, 1, 3, 5]), 1, ["shuffle"]),
        (np.array([3, 4]), 2, []),
        (np.array([0, 3, 1]), 1, None),
    ],
)
def test_gather_of_known_places(
    places: np.ndarray[Any, Any], axis: int, kinds: list[str] | None, tmp_path: Path
) -> None:
    proto = model(
        [node("Conv", ["x", "w"], ["c"]), node("Gather", ["c", "i"], ["g"], axis=axis),
         node("Relu", ["g"], ["y"])],
        {"w": weights(6, 3, 1, 1), "i": places},
    )  # fmt: skip
    found = audited(proto, tmp_path)
    if kinds is None:
        assert [unknown.source for unknown in found.unknown] == ["Gather"]
    else:
        assert found.unknown == ()
        ops = [layer.op.kind for layer in found.layers if layer.op]
        assert [kind for kind in ops if kind not in ("conv", "relu")] == kinds


@pytest.mark.parametrize(
    ("after", "value", "known"),
    [
        (node("Conv", ["c", "w"], ["y"]), 0.0, True),
        (node("Conv", ["c", "w"], ["y"]), 1.0, False),
        (node("AveragePool", ["c"], ["y"], kernel_shape=[3, 3]), 0.0, True),
        (node("MaxPool", ["c"], ["y"], kernel_shape=[3, 3]), -np.inf, True),
        (node("MaxPool", ["c"], ["y"], kernel_shape=[3, 3]), 0.0, False),
    ],
)
def test_padding_of_the_layer_behind(
    after: Any, value: float, known: bool, tmp_path: Path
) -> None:
    stored = {
        "w": weights(8, 3, 3, 3),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "number": np.array(value, np.float32),
    }
    pad = node("Pad", ["x", "pads", "number"], ["c"])
    head = node("Conv", ["y", "v"], ["z"])
    channels = 8 if after.op_type == "Conv" else 3
    stored["v"] = weights(4, channels, 1, 1)
    flops, _, unknown = counts(model([pad, after, head], stored, outputs=["z"]), tmp_path)
    conv = 8 * 27 * 32 * 32 if after.op_type == "Conv" else 0
    assert flops == conv + 4 * channels * 32 * 32
    assert unknown == ([] if known else ["Pad"])


def test_equal_tensors_of_new_layers_count_each(tmp_path: Path) -> None:
    """An exporter stores equal tensors once and copies them: zeros of two layers are two
    parameters, numbers of a tied layer one."""
    nodes = [
        node("Identity", ["b"], ["b2"]),
        node("Identity", ["w"], ["w2"]),
        node("Conv", ["x", "w", "b"], ["a"]),
        node("Conv", ["a", "w2", "b2"], ["y"]),
    ]
    stored = {"w": weights(3, 3, 1, 1), "b": np.zeros(3, np.float32)}
    assert counts(model(nodes, stored), tmp_path) == (2 * 9 * 32 * 32, 9 + 6, [])
