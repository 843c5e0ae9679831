"""ONNX Runtime on the CPU: chains of blocks as ONNX models."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import onnx

from latency.engines.activation_ranges import value_ranges
from latency.engines.base import FileEngine, Model, input_shape
from latency.engines.lowering import Weights, random_weights
from latency.engines.onnx.int8 import quantised
from latency.engines.onnx.writer import build_model
from space.network.block import Block


class OnnxRuntimeEngine(FileEngine):
    name = "onnxruntime"
    writer_versions = MappingProxyType({"onnx": onnx.__version__})

    def write(
        self, blocks: Sequence[Block], batch: int = 1, weights: Weights | None = None
    ) -> Model:
        model = build_model(blocks, batch=batch, weights=weights or random_weights(0))
        if self.dtype == "int8":
            model = quantised(model, value_ranges(model))
        return Model({"model.onnx": model.SerializeToString()}, input_shape(blocks, batch))


def open_engine(threads: int, dtype: str) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(threads, dtype)
