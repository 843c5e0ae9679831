"""ncnn on the CPU: chains of blocks as .param and .bin files."""

from __future__ import annotations

from collections.abc import Sequence

from latency.engines.base import FileEngine, Model, input_shape
from latency.engines.lowering import Weights, random_weights
from latency.engines.ncnn.writer import build_model
from space.network.block import Block


class NcnnEngine(FileEngine):
    name = "ncnn"

    def write(
        self, blocks: Sequence[Block], batch: int = 1, weights: Weights | None = None
    ) -> Model:
        weights = weights or random_weights(0)
        if self.dtype == "int8":
            from latency.engines.ncnn import int8 as ncnn_int8  # needs onnx

            text, data = ncnn_int8.build_model(blocks, weights=weights)
        else:
            text, data = build_model(blocks, weights=weights)
        files = {"model.param": text.encode(), "model.bin": data}
        return Model(files, input_shape(blocks, batch))


def open_engine(threads: int, dtype: str) -> NcnnEngine:
    return NcnnEngine(threads, dtype)
