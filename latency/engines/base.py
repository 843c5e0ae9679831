"""What runs a chain of blocks: one engine a file, found by name, loaded on use.

Most engines read a model from files: `latency/engines/` writes them on the machine that
builds a table, `latency/ondevice/runners/NAME.py` loads and runs them where they are measured,
here or on another device. An engine without files (torch) prepares blocks on this machine alone.
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
        """One inference on fixed input; returns when the result is there."""


class Engine(Protocol):
    """Prepares chains of blocks and tells the time.

    `clock` gives seconds; an engine that computes its latencies moves its own.
    """

    name: str
    threads: int
    dtype: str

    @property
    def version(self) -> str:
        """Of the package that runs models."""

    @property
    def versions(self) -> dict[str, str]:
        """Of every package that has a part in it."""

    def prepare(
        self, blocks: Sequence[Block], batch: int = 1, weights: Weights | None = None
    ) -> Runnable:
        """The chain as one model, ready to run; with random weights if None are given."""

    def evict(self) -> None:
        """Overwrite caches, as the rest of a network would
        (latency/ondevice/runners/eviction.py)."""

    def clock(self) -> float:
        """Seconds from some fixed moment."""


@dataclass(frozen=True, slots=True)
class Model:
    """What an engine loads: `files` name -> content, and the input's `shape` [n, c, h, w]."""

    files: Mapping[str, bytes]
    shape: tuple[int, ...]


class FileEngine(ABC):
    """An engine whose models are files. `write` needs nothing that runs them; all else opens the
    runner on this machine."""

    name: ClassVar[str]
    writer_versions: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init__(self, threads: int, dtype: str) -> None:
        self.threads, self.dtype = threads, dtype

    @abstractmethod
    def files(
        self, blocks: Sequence[Block], batch: int, weights: Weights | None
    ) -> Mapping[str, bytes]:
        """The chain as one model: file name -> content. `weights` None: random ones."""

    def write(
        self, blocks: Sequence[Block], batch: int = 1, weights: Weights | None = None
    ) -> Model:
        """The chain as one model; with random weights if None are given."""
        return Model(self.files(blocks, batch, weights), input_shape(blocks, batch))

    @cached_property
    def runner(self) -> Any:
        """This engine on this machine; ImportError if its package is not here."""
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
        """The written model, loaded on this machine."""
        model = self.write(blocks, batch, weights)
        return self.runner.load(model.files, model.shape)

    def evict(self) -> None:
        self.runner.evict()

    def clock(self) -> float:
        return self.runner.clock()
