"""Measures a plan: jobs in shuffled passes until every block is settled or time is over.

After the passes over all jobs, those come first whose blocks' noise weighs most in a network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from latency.builder.journal import Journal
from latency.builder.measurements import Measurements
from latency.builder.plan import Plan, slot
from latency.devices.session import Session
from latency.measure.cost import CallWork, TimingCosts, probe_costs, work_of
from latency.measure.drift import time_with_reference
from latency.table.latency_table import Measurement

MIN_ROUNDS = 4
WORTH = 0.1  # of the seconds of a build: fewer rounds must save as much, as they cost precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure.

    `min_passes` go over all jobs. Later passes, up to `max_passes`, only repeat jobs with a block
    that is not settled: its relative standard error exceeds `tolerance`, and its standard error
    in seconds exceeds `share` of the reference network's time. After `max_s` seconds only jobs of
    the first pass start. `rounds` of a job in a pass; fewer, but at least `MIN_ROUNDS`, if
    `min_passes` would take longer than `max_s` and the rounds are what takes so long.
    """

    rounds: int = 10
    min_passes: int = 2
    max_passes: int = 6
    tolerance: float = 0.01
    share: float = 0.0
    max_s: float = 560.0


def usual_effort(session: Session, coarse: bool) -> Effort:
    """The effort of a build on this device.

    A processor's speed drifts between passes, so each job is in two of them. A GPU is quiet (a
    block's samples spread by 0.7 %), and preparing takes nearly all of the time, so a job is in
    one pass, if its blocks are then settled. A block whose standard error is 0.25 % of a network
    is: the errors of 18 such blocks add up to 1 % of their network.
    """
    effort = Effort(max_s=100.0, tolerance=0.02) if coarse else Effort()
    if "accelerator" not in session.host_info:
        return effort
    return replace(effort, min_passes=1, share=0.0025)


def affordable(
    plan: Plan, session: Session, effort: Effort, batch: int
) -> tuple[Effort, float, TimingCosts]:
    """The effort with as many rounds a job as `max_s` allows for `min_passes`, the seconds that
    these take, and the costs of a few chains from which that is estimated."""
    calls = [job.chains for job in plan.jobs]
    costs = probe_costs(session, calls, batch=batch, steady=False, reference=plan.reference)
    works = job_works(plan)

    def seconds(rounds: int) -> float:
        later = effort.min_passes - 1
        return costs.seconds(works, rounds) + later * costs.again_s(works, rounds)

    rounds, least_s = effort.rounds, seconds(MIN_ROUNDS)
    while rounds > MIN_ROUNDS and seconds(rounds) > max(effort.max_s, (1 + WORTH) * least_s):
        rounds -= 1
    return replace(effort, rounds=rounds), seconds(rounds), costs


def job_works(plan: Plan) -> list[CallWork]:
    """The work of each job, with the reference."""
    return [work_of([plan.reference, *job.chains]) for job in plan.jobs]


class Campaign(Measurements):
    """The measurement of a plan; finished jobs come from the journal.

    `left_s`: the seconds until all jobs that are known to be needed are done, as the jobs so far
    show; None before the first.

    Args:
        costs: what a probe of the session learned; they learn from each job.
    """

    def __init__(
        self,
        plan: Plan,
        session: Session,
        journal: Journal,
        effort: Effort,
        batch: int,
        seed: int,
        costs: TimingCosts | None = None,
    ) -> None:
        super().__init__(plan, journal)
        self.session, self.journal = session, journal
        self.effort, self.batch, self.seed = effort, batch, seed
        self.costs, self._works = costs or TimingCosts(), job_works(plan)
        self.left_s: float | None = None

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
                    self.left_s = self._left_s(index, jobs[count:])
                report(index, count, len(jobs))
        self.stopped_by = "stable" if not self.unsettled(self.effort.max_passes) else "passes"

    def _left_s(self, index: int, jobs: Sequence[int]) -> float:
        """Seconds of these jobs of a pass, and of the passes over all jobs that follow, as far as
        `max_s` leaves time for them."""
        rest = [self._works[n] for n in jobs if (index, n) not in self.journal.done]
        later = max(0, self.effort.min_passes - index - 1)
        rounds = self.effort.rounds
        this_s = self.costs.seconds(rest, rounds)
        later_s = later * self.costs.again_s(self._works, rounds)
        first_s = this_s if index == 0 else 0.0  # of the first pass all jobs start
        until_s = max(self.effort.max_s - self.journal.spent_s, first_s)
        return min(this_s + later_s, until_s)

    def _jobs_of(self, index: int) -> list[int]:
        """The jobs of a pass, in its own order; earlier passes decide which."""
        every = range(len(self.plan.jobs))
        jobs = list(every) if index < self.effort.min_passes else self.unsettled(index)
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

    def unsettled(self, passes: int) -> list[int]:
        """The jobs with a block or network that is too noisy after some passes."""
        each = enumerate(self.measured(range(len(self.plan.jobs)), passes))
        limit = self.effort.tolerance
        limit_s = self.effort.share * self.reference_s(passes)

        def noisy(found: Measurement | None) -> bool:
            return found is None or (found.error > limit and found.error_s > limit_s)

        return [number for number, (_, found) in each if any(map(noisy, found))]

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
        wall_s = time.monotonic() - started
        self.costs.learn(self._works[number], self.effort.rounds, wall_s, timed)
        self.journal.add((index, number), job.chains, group, timed, wall_s)
