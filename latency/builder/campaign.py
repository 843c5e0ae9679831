"""Measures a plan: jobs in shuffled passes until every block is settled or time is over.

After the passes over all jobs, those come first whose blocks' noise weighs most in a network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from latency.builder.journal import Journal
from latency.builder.plan import Job, Plan, Slot, slot
from latency.devices.session import Session
from latency.measure.block import (
    Floats,
    chain_flops,
    measurement,
    probe,
    settled,
    target_measurement,
)
from latency.measure.drift import (
    TimedGroup,
    corrected_samples,
    drift_factor,
    outlier_rounds,
    time_with_reference,
    typical_reference_s,
)
from latency.table.latency_table import Measurement
from space.network.block import Block, Chain
from space.network.network import Network

MIN_ROUNDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure.

    `min_passes` go over all jobs. Later passes, up to `max_passes`, only repeat jobs with a block
    whose relative standard error exceeds `tolerance`. After `max_s` seconds only jobs of the first
    pass start. `rounds` of a job in a pass; fewer, but at least `MIN_ROUNDS`, if `min_passes`
    would take longer than `max_s`.
    """

    rounds: int = 10
    min_passes: int = 2
    max_passes: int = 6
    tolerance: float = 0.01
    max_s: float = 560.0


def affordable(plan: Plan, session: Session, effort: Effort, batch: int) -> tuple[Effort, float]:
    """The effort with as many rounds a job as its `max_s` allows for `min_passes`, and the wall
    seconds that these take, estimated from one run of a few chains."""
    chains = [chain for job in plan.jobs for chain in job.chains]
    rng = np.random.default_rng(0)
    sample = [chains[i] for i in rng.choice(len(chains), min(12, len(chains)), replace=False)]
    cost = probe(session, sample, batch)
    flops = sum(map(chain_flops, chains)) + len(plan.jobs) * chain_flops(plan.reference)
    count = len(chains) + len(plan.jobs)

    def seconds(rounds: int) -> float:
        return effort.min_passes * cost.seconds(count, flops, rounds)

    rounds = effort.rounds
    while rounds > MIN_ROUNDS and seconds(rounds) > effort.max_s:
        rounds -= 1
    return replace(effort, rounds=rounds), seconds(rounds)


class Campaign:
    """The measurement of a plan; finished jobs come from the journal."""

    def __init__(
        self, plan: Plan, session: Session, journal: Journal, effort: Effort, batch: int, seed: int
    ) -> None:
        self.plan, self.session, self.journal = plan, session, journal
        self.effort, self.batch, self.seed = effort, batch, seed
        self.stopped_by = ""

    def run(self, report: Callable[[int, int, int], None]) -> None:
        """Measure until done; call `report(pass, jobs done, jobs)` after every job.

        Raises:
            OSError: the device or the journal is out of reach.
        """
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
        """The jobs of a pass, in its own order; earlier passes decide which."""
        every = range(len(self.plan.jobs))
        jobs = list(every) if index < self.effort.min_passes else self._unsettled(index)
        order = np.random.default_rng((self.seed, index)).permutation(len(jobs))
        shuffled = [jobs[i] for i in order]
        if index < self.effort.min_passes:
            return shuffled
        weights = self.weights(shuffled, index)
        return [shuffled[i] for i in np.argsort(weights, kind="stable")[::-1]]

    def weights(self, numbers: Iterable[int], passes: int) -> list[float]:
        """Of each job, the seconds of a network's standard error that its median block accounts
        for, after some passes."""
        reference_s, often = self.reference_s(passes), self.plan.occurrences()
        return [self._weight(number, passes, reference_s, often) for number in numbers]

    def _weight(
        self, number: int, passes: int, reference_s: float, often: dict[Slot, float]
    ) -> float:
        job, groups = self.plan.jobs[number], self._groups(number, passes)
        if job.steady:
            return float(np.median([m.error_s for m in _measurements(job, groups, reference_s)]))
        errors = []
        for target in job.targets:
            try:
                error = target_measurement(target, job.chains, groups, reference_s).error_s
            except ValueError:  # noise exceeds the block's cost
                error = float("inf")
            errors.append(error * often[slot(target.block)] if slot(target.block) in often else 0)
        return float(np.median(errors))

    def _unsettled(self, passes: int) -> list[int]:
        reference_s, found = self.reference_s(passes), []
        for number, job in enumerate(self.plan.jobs):
            try:
                measured = _measurements(job, self._groups(number, passes), reference_s)
            except ValueError:
                found.append(number)
                continue
            if not all(settled(m, self.effort.tolerance) for m in measured):
                found.append(number)
        return found

    def reference_s(self, passes: int | None = None) -> float:
        """Typical seconds of the reference network, in the first passes or in all."""
        done = self.journal.done.items()
        return typical_reference_s([g for (i, _), g in done if passes is None or i < passes])

    def outlier_share(self) -> float:
        """Share of the rounds that are outliers."""
        at, groups = self.reference_s(), self.journal.done.values()
        return float(np.concatenate([outlier_rounds(drift_factor(g, at)) for g in groups]).mean())

    def _groups(self, number: int, passes: int | None = None) -> list[TimedGroup]:
        """The times of a job in the first passes, or in all."""
        done = self.journal.done
        count = self.effort.max_passes if passes is None else passes
        return [done[i, number] for i in range(count) if (i, number) in done]

    def _measure(self, index: int, number: int) -> None:
        job = self.plan.jobs[number]
        started = time.monotonic()
        group, timed = time_with_reference(
            self.session,
            job.chains,
            self.plan.reference,
            batch=self.batch,
            rounds=self.effort.rounds,
            steady=job.steady,
        )
        self.journal.add((index, number), job.chains, group, timed, time.monotonic() - started)

    def blocks(self) -> tuple[dict[Block, Measurement], list[Block]]:
        """The measured blocks, and those whose noise exceeds their cost."""
        entries: dict[Block, Measurement] = {}
        noisy: list[Block] = []
        reference_s = self.reference_s()
        for number, job in enumerate(self.plan.jobs):
            groups = self._groups(number)
            for target in job.targets:
                try:
                    measured = target_measurement(target, job.chains, groups, reference_s)
                    entries[target.block] = measured
                except ValueError:
                    noisy.append(target.block)
        return entries, noisy

    def networks_s(self, networks: Iterable[Network]) -> Floats:
        """Measured end-to-end seconds of networks of the plan, float64 [n]."""
        reference_s = self.reference_s()
        found: dict[Chain, float] = {}
        for number, job in enumerate(self.plan.jobs):
            if job.steady:
                measured = _measurements(job, self._groups(number), reference_s)
                seconds = [one.median_s for one in measured]
                found |= dict(zip(job.chains, seconds, strict=True))
        return np.array([found[network.blocks] for network in networks])


def _measurements(job: Job, groups: list[TimedGroup], reference_s: float) -> list[Measurement]:
    """Of a job's blocks, or of its networks if it is steady."""
    if not job.steady:
        return [target_measurement(one, job.chains, groups, reference_s) for one in job.targets]
    rows = ([[row]] * len(groups) for row in range(len(job.chains)))
    return [measurement(1, corrected_samples(groups, own, reference_s)[0]) for own in rows]
