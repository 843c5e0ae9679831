"""LiteRT (TensorFlow Lite) on the CPU: chains of blocks as .tflite models."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from latency.engines.base import FileEngine
from latency.engines.tflite.writer import build_model
from latency.engines.weights import Weights
from space.common.provenance import package_version
from space.network.block import Block


class LiteRTEngine(FileEngine):
    name = "litert"
    writer_versions = MappingProxyType({"flatbuffers": package_version("flatbuffers")})

    def files(
        self, blocks: Sequence[Block], batch: int, weights: Weights | None
    ) -> dict[str, bytes]:
        return {"model.tflite": build_model(blocks, batch=batch, weights=weights)}


open_engine = LiteRTEngine
