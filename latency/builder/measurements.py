"""What the finished jobs of a build say of its blocks and networks, with drift corrected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from latency.builder.journal import Samples
from latency.builder.plan import Job, Plan
from latency.measure.block import Floats, measurement, target_measurement
from latency.measure.drift import (
    TimedGroup,
    corrected_samples,
    drift_factor,
    outlier_rounds,
    typical_reference_s,
)
from latency.table.latency_table import Measurement
from space.network.block import Block
from space.network.network import Network


class Measurements:
    """The times of a plan's jobs, as far as they are finished.

    `stopped_by`: why the measurement ended, if it did: stable, time or passes.
    """

    def __init__(self, plan: Plan, samples: Samples) -> None:
        self.plan, self.samples = plan, samples
        self.stopped_by = ""

    def measured(
        self, numbers: Iterable[int], passes: int | None = None
    ) -> Iterator[tuple[Job, list[Measurement | None]]]:
        """Jobs, and their blocks or networks after `passes` (by default all); None for a block
        whose noise exceeds its cost."""
        done, reference_s = self.samples.done, self.reference_s(passes)
        count = 1 + max((i for i, _ in done), default=-1) if passes is None else passes
        for number in numbers:
            groups = [done[i, number] for i in range(count) if (i, number) in done]
            job = self.plan.jobs[number]
            yield job, _measurements(job, groups, reference_s)

    def reference_s(self, passes: int | None = None) -> float:
        """Typical seconds of the reference network, in the first passes or in all."""
        done = self.samples.done.items()
        return typical_reference_s([g for (i, _), g in done if passes is None or i < passes])

    def outlier_share(self) -> float:
        """Share of the rounds that are outliers."""
        at, groups = self.reference_s(), self.samples.done.values()
        return float(np.concatenate([outlier_rounds(drift_factor(g, at)) for g in groups]).mean())

    def blocks(self) -> tuple[dict[Block, Measurement], list[Block]]:
        """The measured blocks, and those whose noise exceeds their cost."""
        numbers = [n for n, job in enumerate(self.plan.jobs) if not job.steady]
        found = [
            (target.block, m)
            for job, measured in self.measured(numbers)
            for target, m in zip(job.targets, measured, strict=True)
        ]
        return {b: m for b, m in found if m is not None}, [b for b, m in found if m is None]

    def networks_s(self, networks: Iterable[Network]) -> Floats:
        """Measured end-to-end seconds of networks of the plan, float64 [n]."""
        numbers = [n for n, job in enumerate(self.plan.jobs) if job.steady]
        seconds = {
            chain: m.median_s
            for job, measured in self.measured(numbers)
            for chain, m in zip(job.chains, measured, strict=True)
            if m is not None
        }
        return np.array([seconds[network.blocks] for network in networks])


def _measurements(
    job: Job, groups: Sequence[TimedGroup], reference_s: float
) -> list[Measurement | None]:
    """Of a job's blocks, None for noise above the cost; of its networks if it is steady."""
    if job.steady:
        rows = ([[row]] * len(groups) for row in range(len(job.chains)))
        return [measurement(1, corrected_samples(groups, own, reference_s)[0]) for own in rows]
    found: list[Measurement | None] = []
    for target in job.targets:
        try:
            found.append(target_measurement(target, job.chains, groups, reference_s))
        except ValueError:
            found.append(None)
    return found
