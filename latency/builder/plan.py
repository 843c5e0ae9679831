"""What a build measures: jobs of blocks, and of networks to scale and validate their sums."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from latency.builder.grid import (
    MAX_BEFORE,
    Grid,
    jobs_of,
    network_targets,
    other_targets,
    space_targets,
)
from latency.builder.journal import chain_text
from latency.builder.random_networks import sample_networks
from latency.measure.block import BlockTarget
from latency.measure.drift import REFERENCE, reference_chain
from latency.ondevice.runners.cpu import EVICT_BYTES
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.block import Block, Chain
from space.network.network import Network

NETWORKS_PER_JOB = 10
Slot: TypeAlias = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class Job:
    """Chains timed in the same rounds: for blocks, or networks in steady use."""

    chains: tuple[Chain, ...]
    targets: tuple[BlockTarget, ...] = ()

    @property
    def steady(self) -> bool:
        """Whether the chains are networks."""
        return not self.targets


@dataclass(frozen=True, slots=True)
class Plan:
    """What a build measures. No network is part of the table: `scale_set` determines its scale
    factor, `held_out` its error, `on_grid` the error on networks whose blocks were all measured.
    `reference` is the chain of the drift factor."""

    jobs: tuple[Job, ...]
    targets: tuple[BlockTarget, ...]
    scale_set: tuple[Network, ...]
    held_out: tuple[Network, ...]
    on_grid: tuple[Network, ...]
    reference: Chain

    @property
    def digest(self) -> str:
        """Changes with anything that is measured. Journals store it: its text never changes."""
        lines = [chain_text(chain) for job in self.jobs for chain in job.chains]
        text = "\n".join([*lines, f"{EVICT_BYTES} bytes written over", f"pace of {REFERENCE}"])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def sizes(self) -> list[int]:
        """How many chains each job has."""
        return [len(job.chains) for job in self.jobs]

    def occurrences(self) -> dict[Slot, float]:
        """How many blocks of each slot a network has on average."""
        networks = (*self.scale_set, *self.held_out, *self.on_grid)
        counts = Counter(slot(block) for network in networks for block in network.blocks)
        return {name: count / len(networks) for name, count in counts.items()}


def slot(block: Block) -> Slot:
    """A block's role in networks: kind, resolution and stride."""
    return block.kind, block.height, block.width, dict(block.fields).get("stride", 1)


def make_plan(
    grid: Grid, space: ShuffleNetV2Space, networks: int, seed: int, relax: Iterable[str] = ()
) -> Plan:
    """The plan of a grid, with `networks` random networks for the scale and as many for the error.

    Args:
        relax: guidelines; units of the space that break them are measured too.
    """
    rng = np.random.default_rng(seed)
    nets = sample_networks(space, 2 * networks + networks // 2, rng)
    scale_set, held_out = nets[:networks], nets[networks : 2 * networks]
    on_grid = nets[2 * networks :]
    targets = {target.block: target for target in space_targets(grid, space.relaxed(relax))}
    for target in network_targets(on_grid, MAX_BEFORE):
        targets.setdefault(target.block, target)
    known = other_targets(grid, space)
    others = {target.block: target for target in known if target.block not in targets}
    block_jobs = [
        Job(tuple(dict.fromkeys(c for t in job for c in t.chains)), job)
        for some in (targets, others)
        for job in jobs_of(some.values(), rng)
    ]
    order = rng.permutation(len(nets))  # those of the scale and of the error are timed together
    network_jobs = [
        Job(tuple(nets[n].blocks for n in order[i : i + NETWORKS_PER_JOB]))
        for i in range(0, len(nets), NETWORKS_PER_JOB)
    ]
    return Plan(
        (*block_jobs, *network_jobs),
        (*targets.values(), *others.values()),
        tuple(scale_set),
        tuple(held_out),
        tuple(on_grid),
        reference_chain(space.height, space.width),
    )
