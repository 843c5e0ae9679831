"""The registry of engines; each is loaded when it is used."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from latency.engines.base import Engine, FileEngine


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """A registered engine.

    `module`: has `open_engine(threads, dtype)`. `packages`: what `pip install` needs, with spaces
    between. `dtypes`: those it can run. `wheels`: all that its runner needs on another device, as
    dependencies are not followed.

    Example:
        >>> ENGINES["ncnn"].dtypes
        ('float32', 'float16', 'int8')
    """

    module: str
    packages: str
    dtypes: tuple[str, ...] = ("float32",)
    wheels: tuple[str, ...] = ()


ENGINES = {
    "onnxruntime": EngineSpec(
        "latency.engines.onnx.engine", "onnxruntime onnx", ("float32", "int8"),
        wheels=("onnxruntime", "numpy"),
    ),
    "litert": EngineSpec(
        "latency.engines.tflite.engine", "ai-edge-litert flatbuffers",
        wheels=("ai-edge-litert", "numpy"),
    ),
    "ncnn": EngineSpec(
        "latency.engines.ncnn.engine", "ncnn", ("float32", "float16", "int8"),
        wheels=("ncnn", "numpy"),
    ),
    "torch": EngineSpec("latency.engines.torch.eager", "torch"),
    "torch-compile": EngineSpec("latency.engines.torch.compile", "torch"),
    "torch-cuda": EngineSpec(
        "latency.engines.torch.cuda", "torch nvidia-ml-py", ("float32", "tf32", "float16")
    ),
    "null": EngineSpec("latency.engines.null", ""),
}  # fmt: skip


def get_engine(
    name: str, *, threads: int = 1, dtype: str = "float32", here: bool = True
) -> Engine:
    """Open a registered engine.

    Args:
        threads: processor threads of one run.
        here: False: to write models only, which may need fewer packages.

    Raises:
        ValueError: unknown name, or not one of its dtypes; the message lists the known ones.
        ImportError: its package is not installed; the message says what to install.
        OSError: it needs a compiler or a GPU that is missing.

    Example:
        >>> from space.network.block import Block
        >>> engine = get_engine("null", threads=2)
        >>> run = engine.prepare([Block("conv", 28, 28, c_in=64, c_out=64)])
        >>> run.run()
        >>> engine.clock() > 0  # seconds
        True
    """
    if name not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}; got {name!r}")
    entry = ENGINES[name]
    if threads < 1:
        raise ValueError(f"`threads` must be at least 1; got {threads}")
    if dtype not in entry.dtypes:
        raise ValueError(
            f"dtype of {name} must be one of {', '.join(entry.dtypes)}; got {dtype!r}"
        )
    try:
        engine: Engine = importlib.import_module(entry.module).open_engine(threads, dtype)
        if here and isinstance(engine, FileEngine):
            _ = engine.runner
    except ImportError as error:
        raise ImportError(
            f"engine {name!r} needs packages that are not here ({error.name or error}): "
            f"pip install {entry.packages}"
        ) from error
    return engine
