"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime

from latency.ondevice.runners.cpu import CpuRunner, fixed_input


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Options under which models run one after the other, each with this many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # Threads spin for their next task during a run, as in an application; those of other loaded
    # models must not, or they take the cores from the model that is timed.
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(threads > 1)))
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


class OnnxModel:
    """A loaded model with its input and output bound, so that a run copies nothing."""

    def __init__(self, model: bytes, shape: tuple[int, ...], threads: int) -> None:
        self._session = onnxruntime.InferenceSession(
            model, session_options(threads), providers=["CPUExecutionProvider"]
        )
        self._input = onnxruntime.OrtValue.ortvalue_from_numpy(fixed_input(shape))
        self._binding = self._session.io_binding()
        self._binding.bind_ortvalue_input("input", self._input)
        self._binding.bind_output("output", "cpu")

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> list[np.ndarray]:
        """Outputs of the last run, [n, c, h, w] or [n, c]."""
        return self._binding.copy_outputs_to_cpu()


class OnnxRuntimeRunner(CpuRunner):
    version = onnxruntime.__version__
    versions = {"onnxruntime": version}  # noqa: RUF012

    def load(self, files: Mapping[str, bytes], shape: tuple[int, ...]) -> OnnxModel:
        """`files`: {"model.onnx": bytes}; `shape` [n, c, h, w] of the input."""
        return OnnxModel(files["model.onnx"], shape, self.threads)


open_runner = OnnxRuntimeRunner
