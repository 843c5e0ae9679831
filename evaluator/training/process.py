"""Where a training runs: device, processes of torchrun, processes that decode images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from space.common.files import locked

MOST_WORKERS = 8


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
    """How many processes decode images: `workers`, or for None one a free core of this process's
    share."""
    if workers is not None:
        return workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(MOST_WORKERS, max(0, (cores or 1) // share.world - 1))


def device_of(name: str) -> str:
    """The torch device of auto, cpu, cuda or cuda:N.

    Raises:
        ValueError: this machine has none of that kind; lists those it has.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    usable = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    if name.partition(":")[0] not in usable:
        known = ", ".join(["auto", *usable])
        raise ValueError(f"--device must be one of {known} here; got {name}")
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if name == "cuda" and local else name


@contextmanager
def processes(device: str) -> Iterator[ProcessShare]:
    """This process's share of each batch, as torchrun started it."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield SINGLE_PROCESS
        return
    if device != "cpu":
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("gloo" if device == "cpu" else "nccl")
    try:
        yield ProcessShare(torch.distributed.get_rank(), world)
    finally:
        torch.distributed.destroy_process_group()


@contextmanager
def process_context(
    out: Path, *, device: str, threads: int | None, batch: int
) -> Iterator[tuple[str, ProcessShare]]:
    """Device and share of this process; the first process locks the folder `out`.

    Raises:
        ValueError: there is no such device, the processes cannot share `batch`, or another
            training holds `out`.
    """
    if threads:
        torch.set_num_threads(threads)
    device = device_of(device)
    with processes(device) as share:
        if batch % share.world:
            raise ValueError(
                f"--batch must be a multiple of the {share.world} processes; got {batch}"
            )
        if share.rank:
            yield device, share
            return
        with locked(out, "training"):
            yield device, share
