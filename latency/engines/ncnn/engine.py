"""ncnn on the CPU: chains of blocks as .param and .bin files."""

from __future__ import annotations

from collections.abc import Sequence

from latency.engines.base import FileEngine
from latency.engines.ncnn.writer import build_model
from latency.engines.weights import Weights
from space.network.block import Block


class NcnnEngine(FileEngine):
    name = "ncnn"

    def files(
        self, blocks: Sequence[Block], batch: int, weights: Weights | None
    ) -> dict[str, bytes]:
        if self.dtype == "int8":
            from latency.engines.ncnn import int8  # needs onnx

            text, data = int8.build_model(blocks, weights=weights)
        else:
            text, data = build_model(blocks, weights=weights)
        return {"model.param": text.encode(), "model.bin": data}


open_engine = NcnnEngine
