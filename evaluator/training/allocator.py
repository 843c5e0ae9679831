"""Memory that a training step frees stays with the process for the next step.

glibc gives large blocks back to the system when they are freed, and each step gets its activations
as new pages. This makes a step of a small network 14 % longer (docs/results/training.md).
"""

from __future__ import annotations

import ctypes
import platform

# mallopt(3): parameters of malloc.h, and values above any tensor here.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Make this process reuse the memory it frees; False if its C library is not glibc."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(which, LARGEST) == 1 for which in (TRIM_THRESHOLD, MMAP_THRESHOLD))
