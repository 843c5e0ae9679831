"""How cuDNN's kernel for a convolution is chosen, and that the choice is made once.

torch keeps the choice for each shape, dtype, layout and alignment in a cache of the thread, up to
10,000 of them (`TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT`), whichever way it was made (torch,
aten/src/ATen/native/cudnn/Conv_v8.cpp, `BenchmarkCache`, `CacheKey`). An engine prepares in one
thread, and a full table has 4,200 shapes, so each is chosen once in a process. To choose again in
another way takes another thread.

Timed choices build every plan that cuDNN proposes for a convolution, and time ten of them. In the
seconds of a coarse table on an H200 that was 0.19 s for a depthwise shape and 0.02 s for others;
tests/gpu/cudnn_choice.py measures what it buys.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from space.common.text import shorten

TIMED = "timed"  # torch.backends.cudnn.benchmark: plans are timed, the fastest is kept
HEURISTIC = "heuristic"  # the first plan that cuDNN proposes and that runs
DEPTHWISE = "heuristic-depthwise"  # of depthwise convolutions, timed for the others
CHOICES = (TIMED, HEURISTIC, DEPTHWISE)
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
    """Let cuDNN choose in that way, see also `mark_depthwise`; restore what was set.

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


def mark_depthwise(module: nn.Module, choice: str) -> None:
    """Let the depthwise convolutions of a module be chosen by heuristic, if `choice` says so."""
    if choice != DEPTHWISE:
        return

    def set_timed(timed: bool) -> None:
        torch.backends.cudnn.benchmark = timed  # type: ignore[assignment]

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1:
            layer.register_forward_pre_hook(lambda *_: set_timed(False))
            layer.register_forward_hook(lambda *_: set_timed(True))
