"""How cuDNN's kernel for a convolution is chosen, and that the choice is made once.

torch keeps the choice for each shape, dtype, layout and alignment in a cache of the thread, up to
10,000 of them (`TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT`), whichever way it was made (torch,
aten/src/ATen/native/cudnn/Conv_v8.cpp, `BenchmarkCache`, `CacheKey`). An engine prepares in one
thread, and a full table has 4,200 shapes, so each is chosen once in a process. To choose again in
another way takes another thread.

Timed choices build every plan that cuDNN proposes for a convolution, and time ten of them. On an
H200 a new depthwise shape takes about 0.18 s either way, since one plan takes that long to build,
and other threads do not shorten it; the kernels of both ways are as fast (docs/results/gpu.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from space.common.text import shorten

TIMED = "timed"  # torch.backends.cudnn.benchmark: plans are timed, the fastest is kept
HEURISTIC = "heuristic"  # the first plan that cuDNN proposes and that runs
CHOICES = (TIMED, HEURISTIC)
VARIABLE = "G4NAS_CUDNN_CHOICE"  # of the environment: another choice than `TIMED`


def usual_choice() -> str:
    """The choice of an engine that is not told another one.

    Raises:
        ValueError: the environment names none.
    """
    choice = os.environ.get(VARIABLE) or TIMED
    if choice not in CHOICES:
        raise ValueError(f"{VARIABLE} must be one of {', '.join(CHOICES)}; got {shorten(choice)}")
    return choice


@contextmanager
def choosing(choice: str) -> Iterator[None]:
    """Let cuDNN choose in that way; restore what was set.

    torch would empty its cache of GPU memory after each timed choice: the next one would allocate
    all of it again.
    """
    cudnn: Any = torch.backends.cudnn
    with ExitStack() as stack:
        stack.callback(setattr, cudnn, "benchmark", cudnn.benchmark)
        cudnn.benchmark = choice != HEURISTIC
        # As torch's own capture of graphs does (torch/_inductor/cudagraph_trees.py).
        if empty := getattr(torch._C, "_cudnn_set_conv_benchmark_empty_cache", None):
            stack.callback(empty, torch._C._cuda_get_conv_benchmark_empty_cache())
            empty(False)
        yield
