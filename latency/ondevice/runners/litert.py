"""LiteRT (TensorFlow Lite) on the CPU, through its default delegate, XNNPACK."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import version

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from latency.ondevice.runners.eviction import Eviction


class LitertModel:
    """A loaded model with its input set: a run is one invocation and copies nothing else."""

    def __init__(self, model: bytes, shape: tuple[int, ...], threads: int) -> None:
        self._interpreter = Interpreter(model_content=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        values = np.random.default_rng(0).random(shape, dtype=np.float32)
        (details,) = self._interpreter.get_input_details()
        self._interpreter.set_tensor(
            details["index"], np.ascontiguousarray(values.transpose(0, 2, 3, 1))
        )
        self._outputs = [each["index"] for each in self._interpreter.get_output_details()]

    def run(self) -> None:
        self._interpreter.invoke()

    def outputs(self) -> list[np.ndarray]:
        """Outputs of the last run, [n, c, h, w] or [n, c]."""
        values = [self._interpreter.get_tensor(index) for index in self._outputs]
        return [v.transpose(0, 3, 1, 2) if v.ndim == 4 else v for v in values]


class LitertRunner:
    """LiteRT with `threads` threads."""

    version = version("ai-edge-litert")

    def __init__(self, threads: int, dtype: str) -> None:
        self.threads, self.dtype = threads, dtype
        self.evict = Eviction()
        self.versions = {"ai-edge-litert": self.version}

    def load(self, files: Mapping[str, bytes], shape: tuple[int, ...]) -> LitertModel:
        """`files`: {"model.tflite": bytes}; `shape` [n, c, h, w] of the input."""
        return LitertModel(files["model.tflite"], shape, self.threads)

    def clock(self) -> float:
        return time.perf_counter()


def open_runner(threads: int, dtype: str) -> LitertRunner:
    return LitertRunner(threads, dtype)
