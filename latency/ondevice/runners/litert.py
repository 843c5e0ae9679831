"""LiteRT (TensorFlow Lite) on the CPU, through its default delegate, XNNPACK."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from latency.ondevice.runners.cpu import CpuRunner, fixed_input


class LitertModel:
    """A loaded model with its input set: a run is one invocation and copies nothing else."""

    def __init__(self, model: bytes, shape: tuple[int, ...], threads: int) -> None:
        self._interpreter = Interpreter(model_content=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        values = np.ascontiguousarray(fixed_input(shape).transpose(0, 2, 3, 1))
        (details,) = self._interpreter.get_input_details()
        self._interpreter.set_tensor(details["index"], values)
        self._outputs = [each["index"] for each in self._interpreter.get_output_details()]

    def run(self) -> None:
        self._interpreter.invoke()

    def outputs(self) -> list[np.ndarray]:
        """Outputs of the last run, [n, c, h, w] or [n, c]."""
        values = [self._interpreter.get_tensor(index) for index in self._outputs]
        return [v.transpose(0, 3, 1, 2) if v.ndim == 4 else v for v in values]


class LitertRunner(CpuRunner):
    version = version("ai-edge-litert")
    versions = {"ai-edge-litert": version}  # noqa: RUF012

    def load(self, files: Mapping[str, bytes], shape: tuple[int, ...]) -> LitertModel:
        """`files`: {"model.tflite": bytes}; `shape` [n, c, h, w] of the input."""
        return LitertModel(files["model.tflite"], shape, self.threads)


open_runner = LitertRunner
