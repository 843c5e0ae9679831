"""ncnn on the CPU, set up as ncnn's own benchmark (benchncnn) sets it up."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import ncnn
import numpy as np

from latency.ondevice.runners.cpu import CpuRunner, fixed_input

# benchncnn.cpp: how much larger than requested a pool's block of memory may be
BLOB_RATIO, WORKSPACE_RATIO = 0.0, 0.5
HALF = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic")
INT8 = ("use_int8_inference", "use_int8_packed", "use_int8_storage", "use_int8_arithmetic")


def options_of(dtype: str) -> dict[str, bool]:
    """ncnn's switches for a dtype. With int8, layers that are not quantised use half floats, as in
    ncnn's defaults."""
    return {
        "lightmode": True,
        "use_winograd_convolution": True,
        "use_sgemm_convolution": True,
        "use_packing_layout": True,
        "use_bf16_storage": False,
        "use_vulkan_compute": False,
        **dict.fromkeys(HALF, dtype != "float32"),
        **dict.fromkeys(INT8, dtype == "int8"),
    }


def half_floats() -> str:
    """What the half float switches do on this processor. Verified bit by bit against float32 on
    x86, Cortex-A72 and A76 (the latter two under QEMU)."""
    if ncnn.cpu_support_arm_asimdhp():
        return "storage and arithmetic"
    return "weights of linear layers only"


class NcnnModel:
    """A loaded model with its input converted. A run is what benchncnn times: a new extractor,
    input, output."""

    def __init__(
        self, param: bytes, weights: bytes, shape: tuple[int, ...], threads: int, dtype: str
    ) -> None:
        self._batch = batch = shape[0]
        if batch > 1 and not hasattr(ncnn.Mat, "batch"):
            raise ValueError(
                f"batch must be 1 with ncnn {ncnn.__version__}; got {batch}: "
                "newer releases run several images"
            )
        self._net = ncnn.Net()
        self._blobs, self._workspace = ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator()
        self._blobs.set_size_compare_ratio(BLOB_RATIO)
        self._workspace.set_size_compare_ratio(WORKSPACE_RATIO)
        options = self._net.opt
        for name, value in options_of(dtype).items():
            setattr(options, name, value)
        options.num_threads = threads
        options.blob_allocator, options.workspace_allocator = self._blobs, self._workspace
        if self._net.load_param_mem(param.decode()) != 0:
            raise ValueError("ncnn does not read this .param file")
        # load_model_mem of the Python package does not document how long the bytes must live, nor
        # report whether they sufficed.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.bin"
            path.write_bytes(weights)
            if self._net.load_model(str(path)) != 0:
                raise ValueError("ncnn does not read this .bin file")
        values = fixed_input(shape)
        source = ncnn.Mat(values[0]) if batch == 1 else ncnn.Mat(values, batch_index=0)
        self._input = source.clone()  # `source` is a view of numpy's memory
        (self._first,), (self._last,) = self._net.input_indexes(), self._net.output_indexes()
        self._output: ncnn.Mat | None = None

    def run(self) -> None:
        extractor = self._net.create_extractor()
        extractor.input(self._first, self._input)
        status, self._output = extractor.extract(self._last)
        del extractor  # before its pools
        if status != 0:
            raise RuntimeError(f"ncnn failed with status {status}: out of memory?")

    def outputs(self) -> list[np.ndarray]:
        """Outputs of the last run, [n, c, h, w] or [n, c]."""
        output = self._output
        if output is None:
            raise ValueError("there is no output before a run")
        images = [output] if self._batch == 1 else [output.batch(i) for i in range(self._batch)]
        return [np.stack([np.array(image) for image in images])]

    def __del__(self) -> None:
        # ncnn aborts if a pool is freed before the memory in it.
        self._output = None
        if hasattr(self, "_net"):
            self._net.clear()


class NcnnRunner(CpuRunner):
    version = ncnn.__version__

    def __init__(self, threads: int, dtype: str) -> None:
        super().__init__(threads, dtype)
        ncnn.set_omp_dynamic(0)
        ncnn.set_omp_num_threads(threads)
        on = [name for name, value in options_of(dtype).items() if value]
        if dtype != "float32":
            on.append(f"half floats here: {half_floats()}")
        self.versions = {"ncnn": ncnn.__version__, "ncnn options": ", ".join(on)}

    def load(self, files: Mapping[str, bytes], shape: tuple[int, ...]) -> NcnnModel:
        """`files`: {"model.param": bytes, "model.bin": bytes}; `shape` [n, c, h, w] of the
        input."""
        return NcnnModel(files["model.param"], files["model.bin"], shape, self.threads, self.dtype)


open_runner = NcnnRunner
