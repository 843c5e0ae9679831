"""Measuring a plan: jobs in shuffled passes until every block is settled or time is over.

After the passes over every job those come first that were disturbed most (latency/quiet.py).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from latency.devices import Session
from latency.grid import (
    MAX_BEFORE,
    Grid,
    block_in_context,
    jobs_of,
    other_targets,
    space_targets,
)
from latency.journal import Journal, chain_text
from latency.measure import (
    WARM_UP,
    Chain,
    Floats,
    Target,
    chain_flops,
    measurement,
    settled,
    target_measurement,
)
from latency.quiet import (
    DISTURBED,
    Visit,
    disturbed_share,
    level,
    quieter,
    slowness,
    typical_s,
)
from latency.runners.eviction import EVICT_BYTES
from latency.table import Measurement
from space.block import Block
from space.network import Network
from space.shufflenet_v2 import ShuffleNetV2Space

NETWORKS_PER_JOB = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Passes over all jobs: at least `min_passes`; then only over jobs with a block whose
    standard error is above `tolerance`, up to `max_passes`, those with the fewest quiet rounds
    first; none after `max_s` but the first."""

    rounds: int = 4
    min_passes: int = 2
    max_passes: int = 6
    tolerance: float = 0.01
    max_s: float = 560.0


@dataclass(frozen=True, slots=True)
class Job:
    """Chains timed in the same rounds: for blocks, or whole networks in steady use."""

    chains: tuple[Chain, ...]
    targets: tuple[Target, ...] = ()

    @property
    def steady(self) -> bool:
        return not self.targets


@dataclass(frozen=True, slots=True)
class Plan:
    """What a build measures. No network is part of the table: `scale_set` gives its one factor,
    `held_out` its error, `on_grid` the error of networks whose blocks were all measured."""

    jobs: tuple[Job, ...]
    targets: tuple[Target, ...]
    scale_set: tuple[Network, ...]
    held_out: tuple[Network, ...]
    on_grid: tuple[Network, ...]

    @property
    def digest(self) -> str:
        """Changes with anything that is measured."""
        lines = [chain_text(chain) for job in self.jobs for chain in job.chains]
        text = "\n".join([*lines, f"{EVICT_BYTES} bytes written over"])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_plan(
    grid: Grid,
    space: ShuffleNetV2Space,
    networks: int,
    seed: int,
    relax: Iterable[str] = (),
) -> Plan:
    """The plan of a grid, with `networks` random networks to scale and as many to judge by.

    Args:
        relax: guidelines; units of the space that break them are measured too.
    """
    rng = np.random.default_rng(seed)
    rows = space.sample(2 * networks + networks // 2, rng)
    nets = [space.lower(space.architecture(row)) for row in rows]
    scale_set, held_out = nets[:networks], nets[networks : 2 * networks]
    on_grid = nets[2 * networks :]
    targets = {target.block: target for target in space_targets(grid, space.relaxed(relax))}
    for target in other_targets(grid, space.height, space.width):
        targets.setdefault(target.block, target)
    for network in on_grid:
        before: Chain = ()
        for block in network.blocks:
            if block not in targets:
                targets[block] = block_in_context(block, before)
            before = (*before, block)[-MAX_BEFORE:]
    block_jobs = [
        Job(tuple(dict.fromkeys(c for t in job for c in t.chains)), job)
        for job in jobs_of(targets.values(), rng)
    ]
    order = rng.permutation(len(nets))  # what scales and what judges is timed together
    network_jobs = [
        Job(tuple(nets[n].blocks for n in order[i : i + NETWORKS_PER_JOB]))
        for i in range(0, len(nets), NETWORKS_PER_JOB)
    ]
    return Plan(
        (*block_jobs, *network_jobs),
        tuple(targets.values()),
        tuple(scale_set),
        tuple(held_out),
        tuple(on_grid),
    )


def estimate_s(plan: Plan, session: Session, effort: Effort, batch: int) -> float:
    """Wall seconds that `min_passes` will take, from running a few chains once."""
    chains = [chain for job in plan.jobs for chain in job.chains]
    rng = np.random.default_rng(0)
    sample = [chains[i] for i in rng.choice(len(chains), min(12, len(chains)), replace=False)]
    started = time.monotonic()
    timed = session.time(sample, batch=batch, rounds=1, steady=True)
    runs_s = timed.wall_s - timed.prepare_s
    prepare_s = (time.monotonic() - started - runs_s) / len(sample)
    per_flop_s = runs_s / _runs(1) / sum(map(chain_flops, sample))
    total = 0.0
    for chain in chains:
        total += prepare_s + per_flop_s * chain_flops(chain) * _runs(effort.rounds)
    return total * effort.min_passes


def _runs(rounds: int) -> int:
    """How often a chain runs where the clock is fine: for its loops, then twice a round."""
    return 1 + 2 * (WARM_UP + rounds)


class Campaign:
    """A plan being measured; what is done already comes from the journal."""

    def __init__(
        self, plan: Plan, session: Session, journal: Journal, effort: Effort, batch: int, seed: int
    ) -> None:
        self.plan, self.session, self.journal = plan, session, journal
        self.effort, self.batch, self.seed = effort, batch, seed
        self.stopped_by = ""

    def run(self, report: Callable[[int, int, int], None]) -> None:
        """Measure until done; `report(pass, jobs done, jobs)` follows every job."""
        for index in range(self.effort.max_passes):
            jobs = self._jobs_of(index)
            if not jobs:
                self.stopped_by = "stable"
                return
            for count, number in enumerate(jobs, 1):
                if (index, number) not in self.journal.done:
                    if index > 0 and self.journal.spent_s > self.effort.max_s:
                        self.stopped_by = "time"
                        return
                    self._measure(index, number)
                report(index, count, len(jobs))
        self.stopped_by = "stable" if not self._unsettled(self.effort.max_passes) else "passes"

    def _jobs_of(self, index: int) -> list[int]:
        """The jobs of a pass, in its own order; decided by earlier passes alone."""
        every = range(len(self.plan.jobs))
        jobs = list(every) if index < self.effort.min_passes else self._unsettled(index)
        order = np.random.default_rng((self.seed, index)).permutation(len(jobs))
        shuffled = [jobs[i] for i in order]
        if index < self.effort.min_passes:
            return shuffled
        return sorted(shuffled, key=lambda number: self._quiet_rounds(number, index))

    def _unsettled(self, passes: int) -> list[int]:
        found = []
        for number, job in enumerate(self.plan.jobs):
            times = self._times(number, passes)
            try:
                measured = _measurements(job, times)
            except ValueError:
                found.append(number)
                continue
            if not all(settled(m, self.effort.tolerance) for m in measured):
                found.append(number)
        return found

    def _quiet_rounds(self, number: int, passes: int) -> int:
        levels = level(slowness(self._times(number, passes)))
        return int((levels <= DISTURBED * levels.min()).sum())

    @property
    def disturbed(self) -> float:
        """Share of the rounds that others disturbed."""
        passes = self.effort.max_passes
        times = [self._times(number, passes) for number in range(len(self.plan.jobs))]
        return disturbed_share([level(slowness(t)) for t in times])

    def _times(self, number: int, passes: int) -> Floats:
        """Times [chains, samples] of a job over the first passes."""
        done = self.journal.done
        return np.concatenate(
            [done[index, number] for index in range(passes) if (index, number) in done], axis=1
        )

    def _measure(self, index: int, number: int) -> None:
        job = self.plan.jobs[number]
        started = time.monotonic()
        timed = self.session.time(
            job.chains, batch=self.batch, rounds=self.effort.rounds, steady=job.steady
        )
        self.journal.add((index, number), job.chains, timed, time.monotonic() - started)

    def blocks(self) -> tuple[dict[Block, Measurement], list[Block]]:
        """What was measured, and the blocks that were too noisy to tell."""
        entries: dict[Block, Measurement] = {}
        noisy: list[Block] = []
        for number, job in enumerate(self.plan.jobs):
            if not job.targets:
                continue
            times = self._times(number, self.effort.max_passes)
            slow = slowness(times)
            for target in job.targets:
                try:
                    entries[target.block] = target_measurement(target, job.chains, times, slow)
                except ValueError:
                    noisy.append(target.block)
        return entries, noisy

    def networks_s(self, networks: Iterable[Network]) -> Floats:
        """Measured seconds of whole networks, float64 [n]."""
        chains: list[Chain] = []
        visits: list[Visit] = []
        for number, job in enumerate(self.plan.jobs):
            if job.steady:
                rows = np.arange(len(chains), len(chains) + len(job.chains))
                visits.append((rows, self._times(number, self.effort.max_passes)))
                chains += job.chains
        found = dict(zip(chains, typical_s(len(chains), visits).tolist(), strict=True))
        return np.array([found[network.blocks] for network in networks])


def _measurements(job: Job, times: Floats) -> list[Measurement]:
    """Of a job's blocks, or of its whole chains if it is steady."""
    slow = slowness(times)
    if job.steady:
        kept = [quieter(level(slow, without=(row,))) for row in range(len(times))]
        return [measurement(1, one[mask]) for one, mask in zip(times, kept, strict=True)]
    return [target_measurement(target, job.chains, times, slow) for target in job.targets]
