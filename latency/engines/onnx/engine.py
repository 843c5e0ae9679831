"""ONNX Runtime on the CPU: chains of blocks as ONNX models."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import onnx

from latency.engines.base import FileEngine
from latency.engines.onnx.int8 import quantised, value_ranges
from latency.engines.onnx.writer import build_model
from latency.engines.weights import Weights
from space.network.block import Block


class OnnxRuntimeEngine(FileEngine):
    name = "onnxruntime"
    writer_versions = MappingProxyType({"onnx": onnx.__version__})

    def files(
        self, blocks: Sequence[Block], batch: int, weights: Weights | None
    ) -> dict[str, bytes]:
        model = build_model(blocks, batch=batch, weights=weights)
        if self.dtype == "int8":
            model = quantised(model, value_ranges(model))
        return {"model.onnx": model.SerializeToString()}


open_engine = OnnxRuntimeEngine
