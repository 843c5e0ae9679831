"""Measuring a plan: jobs in shuffled passes until every block is settled or time is over.

After the passes over every job those come first whose blocks' noise weighs most in a network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from latency.builder.journal import Journal
from latency.builder.plan import Job, Plan, Slot, slot
from latency.devices.session import Session
from latency.measure.block import Floats, chain_flops, measurement, settled, target_measurement
from latency.measure.drift import (
    TimedGroup,
    drift_factor,
    outlier_rounds,
    samples,
    time_with_reference,
    typical_reference_s,
)
from latency.ondevice.timing import WARM_UP
from latency.table.latency_table import Measurement
from space.network.block import Block, Chain
from space.network.network import Network

MIN_ROUNDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Passes over all jobs: at least `min_passes`; then only over jobs with a block whose
    standard error is above `tolerance`, up to `max_passes`, those first whose blocks' errors weigh
    most in a network of the space; none after `max_s` but the first. `rounds` of a job in a pass;
    fewer, `MIN_ROUNDS` at least, where `max_s` would not do."""

    rounds: int = 10
    min_passes: int = 2
    max_passes: int = 6
    tolerance: float = 0.01
    max_s: float = 560.0


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
        usual, often = self.usual_s(index), self.plan.occurrences()
        weights = [self._weight(number, index, usual, often) for number in shuffled]
        return [shuffled[i] for i in np.argsort(weights, kind="stable")[::-1]]

    def _weight(self, number: int, passes: int, usual: float, often: dict[Slot, float]) -> float:
        """The seconds by which the noise of a job's typical block leaves a network uncertain."""
        job, visits = self.plan.jobs[number], self._visits(number, passes)
        if job.steady:
            return float(np.median([m.error_s for m in _measurements(job, visits, usual)]))
        errors = []
        for target in job.targets:
            try:
                error = target_measurement(target, job.chains, visits, usual).error_s
            except ValueError:  # too noisy to tell
                error = float("inf")
            errors.append(error * often[slot(target.block)] if slot(target.block) in often else 0)
        return float(np.median(errors))

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

    def usual_s(self, passes: int | None = None) -> float:
        """Seconds that the reference of the pace usually took; in the first passes, or in all."""
        done = self.journal.done.items()
        return typical_reference_s(
            [visit for (i, _), visit in done if passes is None or i < passes]
        )

    @property
    def disturbed(self) -> float:
        """Share of the rounds in which the machine's pace was not its usual one."""
        usual = self.usual_s()
        found = [
            outlier_rounds(drift_factor(visit, usual)) for visit in self.journal.done.values()
        ]
        return float(np.concatenate(found).mean())

    def _visits(self, number: int, passes: int | None = None) -> list[TimedGroup]:
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


def _measurements(job: Job, visits: list[TimedGroup], usual: float) -> list[Measurement]:
    """Of a job's blocks, or of its whole chains if it is steady."""
    if not job.steady:
        return [target_measurement(one, job.chains, visits, usual) for one in job.targets]
    rows = range(len(job.chains))
    return [measurement(1, samples(visits, [[row]] * len(visits), usual)[0]) for row in rows]
