"""What runs a chain of blocks on this machine: one engine a file, found by name, loaded on use."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Protocol

from space.block import Block


class Runnable(Protocol):
    """A prepared chain of blocks."""

    def run(self) -> None:
        """One inference on fixed input; returns when the result is there."""


class Engine(Protocol):
    """Prepares chains of blocks and tells the time.

    `clock` gives seconds; an engine that computes its latencies moves its own.
    """

    name: str
    version: str
    threads: int
    versions: dict[str, str]

    def prepare(self, blocks: Sequence[Block], batch: int = 1) -> Runnable:
        """The chain as one model with random weights, ready to run."""

    def evict(self) -> None:
        """Overwrite the inner caches, as the rest of a network would."""

    def clock(self) -> float:
        """Seconds from some fixed moment."""


# engine name -> (module, what to install)
ENGINES = {
    "onnxruntime": ("latency.engines.onnxruntime", "onnxruntime onnx"),
    "null": ("latency.engines.null", ""),
}


def get_engine(name: str, *, threads: int = 1) -> Engine:
    """The engine of that name.

    Raises:
        ValueError: unknown name; the message lists the known ones.
        ImportError: its package is not installed; the message says what to install.
    """
    if name not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}; got {name!r}")
    if threads < 1:
        raise ValueError(f"`threads` must be at least 1; got {threads}")
    module, packages = ENGINES[name]
    try:
        return importlib.import_module(module).open_engine(threads)
    except ImportError as error:
        raise ImportError(
            f"engine {name!r} needs packages that are not here ({error.name or error}): "
            f"pip install {packages}"
        ) from error
