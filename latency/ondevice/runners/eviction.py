"""What the rest of a network does to caches and page translations between two runs of a block."""

from __future__ import annotations

import mmap
from contextlib import suppress

import numpy as np

# About what a network of the space touches in one run: float32 weights of 12 MB in the median, and
# its activations. docs/results/latency-tables.md compares sizes on two chips.
EVICT_BYTES = 16 * 2**20


class Eviction:
    """Memory of that size, written over at each call. In small pages where the system lets us ask
    for them, since a network's own memory is in small ones: the few large pages that NumPy asks
    for would leave all translations where they are."""

    def __init__(self) -> None:
        memory = mmap.mmap(-1, EVICT_BYTES)
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            with suppress(OSError):  # a kernel that has no large pages refuses the advice
                memory.madvise(mmap.MADV_NOHUGEPAGE)
        self._values = np.frombuffer(memory, dtype=np.float64)

    def __call__(self) -> None:
        self._values += 1
