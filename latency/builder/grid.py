"""Which blocks are measured, and between which neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency.builder.random_networks import VARIANTS, bounds, variants
from latency.measure.block import BlockTarget
from latency.table.family_fit import alignment, widths_of
from latency.table.header import CHANNELS, CLASSES
from latency.table.interpolate import by_family, family_rows
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.block import Block, BlockBatch, Chain
from space.network.network import Network
from space.zoo.catalog import published_networks, shelf_networks
from space.zoo.entry import PublishedNetwork

COPIES = 6
HEAVY = 60_000_000  # multiply-adds: above, two copies are as precise as six of a lighter block
MAX_BEFORE = 4
SMALL = 700_000_000  # multiply-adds: published networks up to here are measured unchanged
SIDE = 224  # of the images of networks off the shelf
JOB_TARGETS = 12  # blocks timed in the same rounds
STEMS = ("stem", "resnet_stem", "deep_stem")  # blocks that take an image
HEADS = ("head", "mobile_head", "hidden_classifier")  # their weights exceed a cache
GRID_SEED = 1_000_003  # of the random widths that are measured; validation uses other seeds


@dataclass(frozen=True, slots=True)
class Grid:
    """How many blocks of each family (kind, resolution, kernel, stride) are measured.

    `relaxed`: of each family that breaks a guideline. `variants`: how many networks of each of
    the paper's other families, at random widths, contribute their blocks beside the small
    published ones.
    """

    name: str
    stem: int
    first: int  # stride-2 units
    rest: int  # stride-1 units
    head: int
    relaxed: int = 0
    variants: int = 0

    def count(self, block: Block) -> int:
        """How many blocks of the family of `block` are measured."""
        if block.kind in ("stem", "head"):
            return self.stem if block.kind == "stem" else self.head
        return self.first if block["stride"] == 2 else self.rest


FULL = Grid("full", stem=15, first=96, rest=120, head=96, relaxed=12, variants=12)
COARSE = Grid("coarse", stem=8, first=20, rest=22, head=16, relaxed=10)
# On a GPU one model of ops is fitted to all families. More units make it no better, and each new
# shape of a depthwise convolution takes cuDNN a fifth of a second (docs/results/gpu-tables.md).
GPU = Grid("gpu", stem=15, first=20, rest=22, head=96, relaxed=10, variants=4)
GRIDS = {grid.name: grid for grid in (FULL, COARSE, GPU)}


def usual_grid(*, coarse: bool, accelerator: bool) -> Grid:
    """The grid of a build."""
    if coarse:
        return COARSE
    return GPU if accelerator else FULL


def block_in_context(block: Block, before: Chain = ()) -> BlockTarget:
    """A block where it is measured: after copies of itself if it can follow itself; first if it
    takes an image; else after `before`, by default a 1x1 convolution."""
    if block.out_shape == (block.c_in, block.height, block.width):
        return BlockTarget(block, (block,), COPIES if block.flops < HEAVY else 2)
    if block.kind in STEMS or block.c_in == 3:
        return BlockTarget(block)
    if not before:
        before = (Block("conv", block.height, block.width, c_in=block.c_in, c_out=block.c_in),)
    return BlockTarget(block, before)


def space_targets(grid: Grid, space: ShuffleNetV2Space) -> list[BlockTarget]:
    """The blocks of a space that a grid takes, spread evenly over the widths of each family and
    their alignments; fewer of units that break a guideline, if the space is relaxed."""
    targets: list[BlockTarget] = []
    for index, variant in enumerate(space.variants()):
        batches = [segment.batch for segment in space.segments(variant)]
        for previous, batch in zip([None, *batches], batches, strict=False):
            if index > 0 and batch.kind != "shufflenet_v2":
                continue
            before = {} if previous is None else _neighbours(previous, batch)
            for rows in family_rows(batch):
                count = grid.relaxed if index > 0 else grid.count(batch.block(int(rows[0])))
                for row in rows[spread(widths_of(batch)[rows], count)]:
                    block = batch.block(int(row))
                    targets.append(block_in_context(block, before.get(block.c_in, ())))
    return targets


def other_targets(grid: Grid, space: ShuffleNetV2Space) -> list[BlockTarget]:
    """The blocks of networks outside the space: of the small published ones at their own input
    size, if the space has images and classes of ImageNet; of the small ones off the shelf too, if
    the images are of their size; and of each family of `latency.builder.random_networks`, on the
    space's images, the narrowest, the widest and some at random widths."""
    if not grid.variants:
        return []
    known: list[PublishedNetwork] = []
    if (space.channels, space.classes) == (CHANNELS, CLASSES):
        known += published_networks().values()
        if (space.height, space.width) == (SIDE, SIDE):
            known += [entry for entry in shelf_networks().values() if not entry.of_paper]
    networks = [network for entry in known if (network := entry.network()).flops <= SMALL]
    for family in VARIANTS:
        networks += bounds(family, space)
        networks += variants(family, grid.variants, GRID_SEED, space)
    return network_targets(networks)


def network_targets(networks: Iterable[Network], reach: int = 1) -> list[BlockTarget]:
    """The blocks of networks, each once, after the `reach` blocks before it in the first network;
    a head after `MAX_BEFORE`."""
    targets: dict[Block, BlockTarget] = {}
    for network in networks:
        for index, block in enumerate(network.blocks):
            count = MAX_BEFORE if block.kind in HEADS else reach
            before = network.blocks[max(0, index - count) : index]
            targets.setdefault(block, block_in_context(block, before))
    return list(targets.values())


def _neighbours(batch: BlockBatch, after: BlockBatch) -> dict[int, Chain]:
    """For each number of output channels, the chain before a block of the next segment.

    It is the cheapest block, so that its own noise weighs least. Before a head, whose weights
    exceed a cache, it has as many weights as a network.
    """
    names = [name for name in ("kernel", "branch") if name in batch.fields]
    order = np.lexsort([batch.column(name) for name in names]) if names else np.arange(len(batch))
    copies = 1
    if after.kind == "head":
        order = order[batch.column("kernel")[order] == batch.column("kernel").min()][::-1]
        copies = MAX_BEFORE
    channels = batch.column("c_out")[order]
    values, first = np.unique(channels, return_index=True)
    return {
        int(v): (batch.block(int(order[i])),) * copies for v, i in zip(values, first, strict=True)
    }


def spread(widths: NDArray[np.int64], count: int) -> list[int]:
    """Rows of `widths` [n, 4] that cover them evenly: the corners, then points of a
    low-discrepancy sequence (an additive recurrence), each alignment in turn."""
    if count >= len(widths):
        return list(range(len(widths)))
    logs = np.log(np.maximum(widths, 1))
    logs[:, 3] -= logs[:, 2]  # the inside as a share of the branch, the branch as one of the unit
    logs[:, 2] -= logs[:, 1]
    logs = logs[:, np.ptp(logs, axis=0) > 0.5]  # less is the rounding of a fixed share
    if (widths[:, 0] == widths[:, 1]).all():
        logs = logs[:, 1:]
    position = np.asfortranarray((logs - logs.min(axis=0)) / np.ptp(logs, axis=0))
    dims = position.shape[1]
    root = {1: 1.618033988749895, 2: 1.324717957244746, 3: 1.2207440846057596}[dims]
    steps = np.array([root ** -(d + 1) for d in range(dims)])
    classes = alignment(widths)
    known = np.unique(classes)
    points: list[tuple[Any, Any]] = [(point, None) for point in np.ndindex(*(2,) * dims)]
    points += [((0.5 + i * steps) % 1, known[i % len(known)]) for i in range(1, 4 * count + 1)]
    free = np.ones(len(widths), dtype=bool)
    chosen: list[int] = []
    for point, aligned in points:
        if len(chosen) == count:
            break
        gap = sum((column - x) ** 2 for column, x in zip(position.T, point, strict=True))
        allowed = free if aligned is None else free & (classes == aligned)
        best = int(np.argmin(np.where(allowed, gap, np.inf)))
        if allowed[best]:
            free[best] = False
            chosen.append(best)
    return chosen


def jobs_of(
    targets: Iterable[BlockTarget], rng: np.random.Generator
) -> list[tuple[BlockTarget, ...]]:
    """Targets in jobs of a dozen, in random order. Those with the same chain before them share a
    job, so that it is timed once."""
    stacked: list[BlockTarget] = []
    groups: dict[Chain, list[BlockTarget]] = {}
    for target in targets:
        own = target.before == (target.block,)
        (stacked if own else groups.setdefault(target.before, [])).append(target)
    after = [target for group in groups.values() for target in group]
    jobs = [
        tuple(some[i : i + JOB_TARGETS])
        for some in (after, [stacked[i] for i in rng.permutation(len(stacked))])
        for i in range(0, len(some), JOB_TARGETS)
    ]
    return [jobs[i] for i in rng.permutation(len(jobs))]


def summary(targets: Iterable[BlockTarget]) -> str:
    """How many blocks of how many families, for the header."""
    blocks = [target.block for target in targets]
    return f"{len(blocks)} blocks of {len(by_family(blocks))} families"
