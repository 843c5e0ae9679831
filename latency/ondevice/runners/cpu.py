"""What runners on the CPU share: their input, their clock, and the eviction of caches."""

from __future__ import annotations

import mmap
import time
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

# About the memory that a network of the space uses in one run: 12 MB of float32 weights in the
# median, and activations. docs/results/latency-tables.md compares sizes on two chips.
EVICT_BYTES = 16 * 2**20


class CpuRunner:
    """The base of runners with `threads` threads that are timed by the wall clock."""

    version: str
    versions: dict[str, str]

    def __init__(self, threads: int, dtype: str) -> None:
        self.threads, self.dtype = threads, dtype
        self.evict = Eviction()

    def clock(self) -> float:
        return time.perf_counter()


class Eviction:
    """Overwrites EVICT_BYTES at each call, as the rest of a network does between two runs of a
    block. They are in small pages where the system allows it, as a network's memory is: the few
    large pages of NumPy would evict no address translations."""

    def __init__(self) -> None:
        memory = mmap.mmap(-1, EVICT_BYTES)
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            with suppress(OSError):  # a kernel that has no large pages refuses the advice
                memory.madvise(mmap.MADV_NOHUGEPAGE)
        self._values = np.frombuffer(memory, dtype=np.float64)

    def __call__(self) -> None:
        self._values += 1


def fixed_input(shape: Sequence[int]) -> np.ndarray:
    """The input of every engine: seeded, uniform from 0 to 1, float32 of `shape`."""
    return np.random.default_rng(0).random(tuple(shape), dtype=np.float32)
