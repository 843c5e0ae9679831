"""The interface of an engine, which runs chains of blocks.

The models of most engines are files: this package writes them on the host that builds a table, and
`latency/ondevice/runners/NAME.py` loads and runs them on this host or on another device. Engines
without files (torch) run on this host only.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from latency.engines.lowering import input_shape
from latency.engines.weights import Weights
from space.network.block import Block


class Runnable(Protocol):
    """A prepared chain of blocks."""

    def run(self) -> None:
        """Run one inference on the fixed input; return when the result is complete."""


class Engine(Protocol):
    """Prepares chains of blocks, and has a clock in seconds, which an engine that computes its
    latencies moves itself. `latency.engines.testing.EngineContract` has its tests."""

    name: str
    threads: int
    dtype: str

    @property
    def version(self) -> str:
        """The version of the package that runs models."""

    @property
    def versions(self) -> dict[str, str]:
        """The versions of every package involved."""

    def prepare(
        self, blocks: Sequence[Block], batch: int = 1, weights: Weights | None = None
    ) -> Runnable:
        """The chain as one model, ready to run.

        Args:
            batch: images per run.
            weights: None: random ones.

        Raises:
            ValueError: no blocks, or weights of other shapes.
            MissingOpError: an op that the engine does not have.
        """

    def evict(self) -> None:
        """Overwrite the caches, as the rest of a network does (`ondevice/runners/cpu.py`)."""

    def clock(self) -> float:
        """Seconds from some fixed moment."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model in files: name -> content, and the input's `shape` [n, c, h, w]."""

    files: Mapping[str, bytes]
    shape: tuple[int, ...]


class FileEngine(ABC):
    """An engine whose models are files. `write` needs no runner; all else opens the runner on this
    host."""

    name: ClassVar[str]
    writer_versions: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init__(self, threads: int, dtype: str) -> None:
        self.threads, self.dtype = threads, dtype

    @abstractmethod
    def files(
        self, blocks: Sequence[Block], batch: int, weights: Weights | None
    ) -> Mapping[str, bytes]:
        """The model's files: name -> content."""

    def write(
        self, blocks: Sequence[Block], batch: int = 1, weights: Weights | None = None
    ) -> Model:
        """The chain as one model, for `prepare`'s arguments."""
        return Model(self.files(blocks, batch, weights), input_shape(blocks, batch))

    @cached_property
    def runner(self) -> Any:
        """The runner on this host; ImportError without its package."""
        module = importlib.import_module(f"latency.ondevice.runners.{self.name}")
        return module.open_runner(self.threads, self.dtype)

    @property
    def version(self) -> str:
        return self.runner.version

    @property
    def versions(self) -> dict[str, str]:
        return {**self.runner.versions, **self.writer_versions}

    def prepare(
        self, blocks: Sequence[Block], batch: int = 1, weights: Weights | None = None
    ) -> Any:
        model = self.write(blocks, batch, weights)
        return self.runner.load(model.files, model.shape)

    def evict(self) -> None:
        self.runner.evict()

    def clock(self) -> float:
        return self.runner.clock()
