"""Measuring a plan: jobs in shuffled passes until every block is settled or time is over.

After the passes over every job those come first that had the fewest rounds near the machine's
usual pace (latency/pace.py).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

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
from latency.pace import (
    REFERENCE,
    Visit,
    disturbed,
    pace,
    reference_chain,
    samples,
    time_with_reference,
    usual_s,
)
from latency.runners.eviction import EVICT_BYTES
from latency.table import Measurement
from space.block import Block
from space.network import Network
from space.shufflenet_v2 import ShuffleNetV2Space

NETWORKS_PER_JOB = 10
MIN_ROUNDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Passes over all jobs: at least `min_passes`; then only over jobs with a block whose
    standard error is above `tolerance`, up to `max_passes`: those for the search space first, of
    these the ones with the fewest rounds near the usual pace; none after `max_s` but the first.
    `rounds` of a job in a pass; fewer, `MIN_ROUNDS` at least, where `max_s` would not do."""

    rounds: int = 10
    min_passes: int = 2
    max_passes: int = 6
    tolerance: float = 0.01
    max_s: float = 560.0


@dataclass(frozen=True, slots=True)
class Job:
    """Chains timed in the same rounds: for blocks, or whole networks in steady use. `own`: of the
    search space, not of other networks that are there for comparison."""

    chains: tuple[Chain, ...]
    targets: tuple[Target, ...] = ()
    own: bool = True

    @property
    def steady(self) -> bool:
        return not self.targets


@dataclass(frozen=True, slots=True)
class Plan:
    """What a build measures. No network is part of the table: `scale_set` gives its one factor,
    `held_out` its error, `on_grid` the error of networks whose blocks were all measured;
    `reference` tells the machine's pace."""

    jobs: tuple[Job, ...]
    targets: tuple[Target, ...]
    scale_set: tuple[Network, ...]
    held_out: tuple[Network, ...]
    on_grid: tuple[Network, ...]
    reference: Chain

    @property
    def digest(self) -> str:
        """Changes with anything that is measured."""
        lines = [chain_text(chain) for job in self.jobs for chain in job.chains]
        text = "\n".join([*lines, f"{EVICT_BYTES} bytes written over", f"pace of {REFERENCE}"])
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
    for network in on_grid:
        before: Chain = ()
        for block in network.blocks:
            if block not in targets:
                targets[block] = block_in_context(block, before)
            before = (*before, block)[-MAX_BEFORE:]
    known = other_targets(grid, space.height, space.width)
    others = {target.block: target for target in known if target.block not in targets}
    block_jobs = [
        Job(tuple(dict.fromkeys(c for t in job for c in t.chains)), job, own)
        for own, some in ((True, targets), (False, others))
        for job in jobs_of(some.values(), rng)
    ]
    order = rng.permutation(len(nets))  # what scales and what judges is timed together
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


def affordable(plan: Plan, session: Session, effort: Effort, batch: int) -> tuple[Effort, float]:
    """The effort with as many rounds a job as its `max_s` allows for `min_passes`, and the wall
    seconds that these take; told from running a few chains once."""
    chains = [chain for job in plan.jobs for chain in job.chains]
    rng = np.random.default_rng(0)
    sample = [chains[i] for i in rng.choice(len(chains), min(12, len(chains)), replace=False)]
    started = time.monotonic()
    timed = session.time(sample, batch=batch, rounds=1, steady=True)
    runs_s = timed.wall_s - timed.prepare_s
    prepare_s = (time.monotonic() - started - runs_s) / len(sample)
    per_flop_s = runs_s / _runs(1) / sum(map(chain_flops, sample))
    flops = sum(map(chain_flops, chains)) + len(plan.jobs) * chain_flops(plan.reference)
    count = len(chains) + len(plan.jobs)

    def seconds(rounds: int) -> float:
        return effort.min_passes * (count * prepare_s + flops * per_flop_s * _runs(rounds))

    rounds = effort.rounds
    while rounds > MIN_ROUNDS and seconds(rounds) > effort.max_s:
        rounds -= 1
    return replace(effort, rounds=rounds), seconds(rounds)


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
        usual = self.usual_s(index)

        def rank(number: int) -> tuple[bool, int]:
            return not self.plan.jobs[number].own, self._near_usual(number, index, usual)

        return sorted(shuffled, key=rank)

    def _unsettled(self, passes: int) -> list[int]:
        usual, found = self.usual_s(passes), []
        for number, job in enumerate(self.plan.jobs):
            try:
                measured = _measurements(job, self._visits(number, passes), usual)
            except ValueError:
                found.append(number)
                continue
            if not all(settled(m, self.effort.tolerance) for m in measured):
                found.append(number)
        return found

    def _near_usual(self, number: int, passes: int, usual: float) -> int:
        """How many rounds of a job were near the usual pace."""
        visits = self._visits(number, passes)
        return sum(int((~disturbed(pace(visit, usual))).sum()) for visit in visits)

    def usual_s(self, passes: int | None = None) -> float:
        """Seconds that the reference of the pace usually took; in the first passes, or in all."""
        done = self.journal.done.items()
        return usual_s([visit for (i, _), visit in done if passes is None or i < passes])

    @property
    def disturbed(self) -> float:
        """Share of the rounds in which the machine's pace was not its usual one."""
        usual = self.usual_s()
        found = [disturbed(pace(visit, usual)) for visit in self.journal.done.values()]
        return float(np.concatenate(found).mean())

    def _visits(self, number: int, passes: int | None = None) -> list[Visit]:
        """What was timed of a job in the first passes, or in all."""
        done = self.journal.done
        count = self.effort.max_passes if passes is None else passes
        return [done[i, number] for i in range(count) if (i, number) in done]

    def _measure(self, index: int, number: int) -> None:
        job = self.plan.jobs[number]
        started = time.monotonic()
        visit, timed = time_with_reference(
            self.session,
            job.chains,
            self.plan.reference,
            batch=self.batch,
            rounds=self.effort.rounds,
            steady=job.steady,
        )
        self.journal.add((index, number), job.chains, visit, timed, time.monotonic() - started)

    def blocks(self) -> tuple[dict[Block, Measurement], list[Block]]:
        """What was measured, and the blocks that were too noisy to tell."""
        entries: dict[Block, Measurement] = {}
        noisy: list[Block] = []
        usual = self.usual_s()
        for number, job in enumerate(self.plan.jobs):
            visits = self._visits(number)
            for target in job.targets:
                try:
                    entries[target.block] = target_measurement(target, job.chains, visits, usual)
                except ValueError:
                    noisy.append(target.block)
        return entries, noisy

    def networks_s(self, networks: Iterable[Network]) -> Floats:
        """Measured seconds of whole networks, float64 [n]."""
        usual = self.usual_s()
        found: dict[Chain, float] = {}
        for number, job in enumerate(self.plan.jobs):
            if job.steady:
                measured = _measurements(job, self._visits(number), usual)
                seconds = [one.median_s for one in measured]
                found |= dict(zip(job.chains, seconds, strict=True))
        return np.array([found[network.blocks] for network in networks])


def _measurements(job: Job, visits: list[Visit], usual: float) -> list[Measurement]:
    """Of a job's blocks, or of its whole chains if it is steady."""
    if not job.steady:
        return [target_measurement(one, job.chains, visits, usual) for one in job.targets]
    rows = range(len(job.chains))
    return [measurement(1, samples(visits, [[row]] * len(visits), usual)[0]) for row in rows]
