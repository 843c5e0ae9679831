"""How long a measurement takes, from a few of its chains."""

from __future__ import annotations

import time
from collections.abc import Sequence

from latency.builder.memory import needed_bytes
from latency.devices.session import Session
from latency.measure.cost import probe_costs, work_of
from latency.microbenchmarks.passes import PassPlan, on_accelerator
from latency.microbenchmarks.timing import job_chains
from latency.paper_model.cases import Case


def estimate_s(
    cases: Sequence[Case], session: Session, batch: int, plan: PassPlan
) -> tuple[float, float]:
    """Wall seconds that the least and the most passes of `time_cases` take.

    On a GPU the job that needs most memory is among what is timed for it, so that a batch that is
    too large shows now, not in the middle of a pass.

    Raises:
        OSError: as `Session.time`.
        MemoryError: the batch is too large for the GPU.
    """
    jobs = job_chains(cases)
    costs = probe_costs(session, jobs, batch=batch, steady=True)
    if on_accelerator(session):
        largest = max(jobs, key=lambda job: needed_bytes(job, batch))
        started = time.monotonic()
        timed = session.time(largest, batch=batch, rounds=1, steady=True)
        costs.learn(work_of(largest), 1, time.monotonic() - started, timed)
    works = [work_of(job) for job in jobs]
    first_s, again_s = costs.seconds(works, plan.rounds), costs.again_s(works, plan.rounds)
    return first_s + (plan.least - 1) * again_s, first_s + (plan.most - 1) * again_s
