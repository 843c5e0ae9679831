"""Measures a plan: jobs in shuffled passes until every block is settled or time is over.

After the passes over all jobs, those come first whose blocks' noise weighs most in a network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from latency.builder.journal import Journal
from latency.builder.measurements import Measurements
from latency.builder.plan import Plan, slot
from latency.devices.session import Session
from latency.measure.block import chain_flops, probe
from latency.measure.drift import time_with_reference

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
    """The effort with as many rounds a job as `max_s` allows for `min_passes`, and the seconds
    that these take, estimated from a few chains."""
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


class Campaign(Measurements):
    """The measurement of a plan; finished jobs come from the journal."""

    def __init__(
        self, plan: Plan, session: Session, journal: Journal, effort: Effort, batch: int, seed: int
    ) -> None:
        super().__init__(plan, journal)
        self.session, self.journal = session, journal
        self.effort, self.batch, self.seed = effort, batch, seed

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
        often, found = self.plan.occurrences(), []
        for job, measured in self.measured(numbers, passes):
            errors = [np.inf if m is None else m.error_s for m in measured]
            counts = [often.get(slot(target.block), 0) for target in job.targets]
            if not job.steady:
                errors = [e * n if n else 0 for e, n in zip(errors, counts, strict=True)]
            found.append(float(np.median(errors)))
        return found

    def _unsettled(self, passes: int) -> list[int]:
        """The jobs with a block or network that is too noisy after some passes."""
        each = enumerate(self.measured(range(len(self.plan.jobs)), passes))
        limit = self.effort.tolerance
        return [n for n, (_, found) in each if any(m is None or m.error > limit for m in found)]

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
