"""LiteRT (TensorFlow Lite) on the CPU: chains of blocks as .tflite models."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from types import MappingProxyType

from latency.engines.base import FileEngine, Model, input_shape
from latency.engines.lowering import Weights, random_weights
from latency.engines.tflite.writer import build_model
from space.network.block import Block


class LiteRTEngine(FileEngine):
    name = "litert"
    writer_versions = MappingProxyType({"flatbuffers": version("flatbuffers")})

    def write(
        self, blocks: Sequence[Block], batch: int = 1, weights: Weights | None = None
    ) -> Model:
        model = build_model(blocks, batch=batch, weights=weights or random_weights(0))
        return Model({"model.tflite": model}, input_shape(blocks, batch))


def open_engine(threads: int, dtype: str) -> LiteRTEngine:
    return LiteRTEngine(threads, dtype)
