"""Where a training runs: device, processes of torchrun, processes that decode."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from evaluator.training.recipe import Recipe
from space.common.files import locked

MOST_WORKERS = 8


def loader_workers(given: int | None, share: ProcessShare) -> int:
    """How many processes decode: as given, else one a free core of this process's share."""
    if given is not None:
        return given
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(MOST_WORKERS, max(0, (cores or 1) // share.world - 1))


def device_of(given: str) -> str:
    """The torch device of a word of the command line; ValueError lists the usable ones."""
    if given == "auto":
        given = "cuda" if torch.cuda.is_available() else "cpu"
    kind = given.partition(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available()}
    if not there.get(kind):
        usable = ", ".join(["auto", *(name for name, found in there.items() if found)])
        raise ValueError(f"--device must be one of {usable} here; got {given}")
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if given == "cuda" and local else given


@contextmanager
def processes(device: str) -> Iterator[ProcessShare]:
    """This process's share of each batch, as torchrun started it."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ProcessShare()
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
    args: argparse.Namespace, recipe: Recipe, out: Path
) -> Iterator[tuple[str, ProcessShare]]:
    """Device and share of this process; the first one holds the folder `out`.

    Raises:
        ValueError: no such device, a batch that the processes cannot share, or `out` is held.
    """
    if args.threads:
        torch.set_num_threads(args.threads)
    device = device_of(args.device)
    with processes(device) as share:
        if recipe.batch % share.world:
            raise ValueError(
                f"--batch must be a multiple of the {share.world} processes; got {recipe.batch}"
            )
        if share.rank:
            yield device, share
            return
        with locked(out, "training"):
            yield device, share


@dataclass(frozen=True, slots=True)
class ProcessShare:
    """Which part of each batch a process takes."""

    rank: int = 0
    world: int = 1

    def of(self, values: Tensor) -> Tensor:
        size = len(values) // self.world
        return values[self.rank * size : (self.rank + 1) * size]


SINGLE_PROCESS = ProcessShare()
