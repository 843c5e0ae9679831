"""Where a training runs: device, processes of torchrun, processes that decode images, memory."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor

from space.common.files import locked, writable_folder
from space.common.text import shorten

MOST_WORKERS = 8
# mallopt(3): parameters of malloc.h, and a value above any tensor here.
TRIM_THRESHOLD, MMAP_THRESHOLD, LARGEST = -1, -3, 2**31 - 1


@dataclass(frozen=True, slots=True)
class ProcessShare:
    """Which part of each batch a process takes: `rank` of `world`."""

    rank: int = 0
    world: int = 1

    def of(self, values: Tensor) -> Tensor:
        size = len(values) // self.world
        return values[self.rank * size : (self.rank + 1) * size]


SINGLE_PROCESS = ProcessShare()


def loader_workers(workers: int | None, share: ProcessShare) -> int:
    """How many processes decode images; None: one a free core of this process's share."""
    if workers is not None:
        return workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(MOST_WORKERS, max(0, (cores or 1) // share.world - 1))


def device_of(name: str) -> str:
    """The torch device of auto, cpu, cuda or cuda:N.

    Raises:
        ValueError: this machine has none of that name; lists those it has.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if gpus else "cpu"
    usable = ["cpu", *(["cuda"] if gpus else []), *(f"cuda:{number}" for number in range(gpus))]
    if name not in usable:
        raise ValueError(
            f"--device must be one of {', '.join(['auto', *usable])} here; got {shorten(name)}"
        )
    if name != "cuda" or (local := os.environ.get("LOCAL_RANK")) is None:
        return name
    if f"cuda:{local}" not in usable:
        raise ValueError(f"torchrun must start at most {gpus} processes on this machine's GPUs")
    return f"cuda:{local}"


@contextmanager
def process_context(
    out: Path, *, device: str, threads: int | None, batch: int
) -> Iterator[tuple[str, ProcessShare]]:
    """Device and share of this process, as torchrun started it; the first process makes the folder
    `out` and locks it.

    Raises:
        ValueError: there is no such device, the processes cannot share `batch`, `out` is no
            folder, or another training holds it.
        OSError: `out` cannot be written to.
    """
    device, world = device_of(device), int(os.environ.get("WORLD_SIZE", "1"))
    if threads:
        torch.set_num_threads(threads)
    share = SINGLE_PROCESS
    if world > 1:
        if device != "cpu":
            torch.cuda.set_device(device)
        torch.distributed.init_process_group("gloo" if device == "cpu" else "nccl")
        share = ProcessShare(torch.distributed.get_rank(), world)
    try:
        if batch % world:
            raise ValueError(f"--batch must be a multiple of the {world} processes; got {batch}")
        with nullcontext() if share.rank else locked(writable_folder(out), "training"):
            yield device, share
    finally:
        if world > 1:
            torch.distributed.destroy_process_group()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A first Ctrl-C in the block is raised at its end, a second one at once. For what must happen
    as a whole, as a step, whose half is no state that a training can go on from."""
    previous, waiting = signal.getsignal(signal.SIGINT), False
    in_main = threading.current_thread() is threading.main_thread()  # which alone gets signals
    if not callable(previous) or not in_main:  # ignored, as in the processes of a pool
        yield
        return

    def wait(number: int, frame: FrameType | None) -> None:
        nonlocal waiting
        again, waiting = waiting, True
        if again:
            previous(number, frame)

    signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if waiting:
        previous(signal.SIGINT, None)


def reuse_freed_memory() -> bool:
    """Make this process reuse the memory it frees; False if its C library is not glibc.

    glibc gives large blocks back to the system when they are freed, and each step gets its
    activations as new pages. This makes a step of a small network 14 % longer
    (docs/results/training.md).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(which, LARGEST) == 1 for which in (TRIM_THRESHOLD, MMAP_THRESHOLD))
