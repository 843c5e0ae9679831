"""Overwrites caches and page translations, as the rest of a network does between two runs of a
block."""

from __future__ import annotations

import mmap
from contextlib import suppress

import numpy as np

# About the memory that a network of the space uses in one run: 12 MB of float32 weights in the
# median, and activations. docs/results/latency-tables.md compares sizes on two chips.
EVICT_BYTES = 16 * 2**20


class Eviction:
    """Overwrites EVICT_BYTES at each call. They are in small pages where the system allows it, as
    a network's memory is: the few large pages of NumPy would evict no translations."""

    def __init__(self) -> None:
        memory = mmap.mmap(-1, EVICT_BYTES)
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            with suppress(OSError):  # a kernel that has no large pages refuses the advice
                memory.madvise(mmap.MADV_NOHUGEPAGE)
        self._values = np.frombuffer(memory, dtype=np.float64)

    def __call__(self) -> None:
        self._values += 1
