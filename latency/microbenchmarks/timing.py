"""Time the microbenchmarks: the seconds that ten more blocks add to a short chain."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latency.devices.open import GPU_ENGINES
from latency.devices.session import Session, Timed
from latency.measure.block import Floats
from latency.microbenchmarks.passes import PassPlan
from latency.paper_model.cases import Case
from space.common.cli import check_range
from space.common.files import cache_dir
from space.common.progress import Report
from space.network.block import Block, Chain

MOST_ROUNDS = 10_000
BEFORE = 2  # units before the ten blocks: their edges and the start of a run cancel


@dataclass(frozen=True, slots=True, kw_only=True)
class MicrobenchmarkConfig:
    """Where and how the microbenchmarks are measured.

    `device`, `engine`, `threads` and `dtype`: as `latency.devices.open.open_session` takes them;
    None is onnxruntime, on a GPU torch-cuda. `batch`: images of a run. `rounds`: times each chain
    is timed at least. `columns`: "arm" or "gpu", the paper's device with the same widths; None is
    gpu on a GPU, else arm. `out`: folder of the files; None: in the cache. `command`: the user's
    command, for the record.

    Raises:
        ValueError: a number that is out of its range, which the message has.
    """

    device: str = "cpu"
    engine: str | None = None
    threads: int = 1
    batch: int = 1
    dtype: str = "float32"
    rounds: int = 30
    columns: str | None = None
    out: Path | None = None
    command: str = ""

    def __post_init__(self) -> None:
        values = {"threads": self.threads, "batch": self.batch, "rounds": self.rounds}
        check_range(values, "threads", "batch", rounds=(2, MOST_ROUNDS))

    @property
    def engine_name(self) -> str:
        """The engine, or the device's usual one."""
        usual = GPU_ENGINES[0] if self.device == "gpu" else "onnxruntime"
        return usual if self.engine is None else self.engine

    @property
    def paper_device(self) -> str:
        """The columns, or those with the usual widths of such a device."""
        usual = "gpu" if self.device == "gpu" else "arm"
        return usual if self.columns is None else self.columns

    @property
    def stem(self) -> Path:
        """The path of the files without their suffixes. A dtype other than float32 is in it, so
        that a folder can have all of a device's."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.device.lower()).strip("-")
        folder = "guidelines" if self.device == "cpu" else f"guidelines-{slug}"
        name = "guidelines" if self.dtype == "float32" else f"guidelines-{self.dtype}"
        return (self.out or cache_dir() / folder) / name


def case_chains(case: Case) -> tuple[Chain, Chain]:
    """The chain with the ten blocks and the one without.

    Both begin with a 1x1 convolution. An engine may use its own layout of maps from the first
    convolution on; a shortcut straight from the input would prevent it.
    """
    first = case.unit[0]
    lead = Block("conv", first.height, first.width, c_in=first.c_in, c_out=first.c_in)
    before = (lead, *case.unit * BEFORE)
    return (*before, *case.unit * case.repeats), before


def group_cases(cases: Sequence[Case]) -> list[list[int]]:
    """Indices of the cases that share their rounds: one width of one table each."""
    keys = [(case.table, case.scale) for case in cases]
    return [[i for i, key in enumerate(keys) if key == own] for own in dict.fromkeys(keys)]


def job_chains(cases: Sequence[Case]) -> list[list[Chain]]:
    """The chains that are prepared together, of each job."""
    groups = group_cases(cases)
    return [[chain for i in group for chain in case_chains(cases[i])] for group in groups]


def time_cases(
    cases: Sequence[Case],
    session: Session,
    plan: PassPlan,
    *,
    batch: int = 1,
    enough: Callable[[Floats], bool] = lambda times: False,
    report: Report = lambda done, total: None,
) -> tuple[Floats, list[Timed]]:
    """Time the ten blocks of each case inside a longer chain.

    Each pass has its own random order of jobs and rows.

    Args:
        enough: called with the times so far, as they are returned, after each pass from the
            plan's least on: whether no other follows. The plan's most is the last in any case.
        report: called with (jobs done, jobs) after each job.

    Returns:
        Seconds of the ten blocks, float64 [cases, passes, rounds of a pass], and the jobs in the
        order in which they ran.

    Raises:
        OSError: as `Session.time`.
    """
    rng = np.random.default_rng(0)
    groups = group_cases(cases)
    seconds = np.empty((len(cases), plan.most, plan.rounds))
    jobs: list[Timed] = []
    for index in range(plan.most):
        if index >= plan.least and enough(seconds[:, :index]):
            return seconds[:, :index], jobs
        for j in rng.permutation(len(groups)):
            rows = [groups[j][i] for i in rng.permutation(len(groups[j]))]
            chains = [chain for i in rows for chain in case_chains(cases[i])]
            timed = session.time(chains, batch=batch, rounds=plan.rounds, steady=True)
            seconds[rows, index] = timed.times[0::2] - timed.times[1::2]
            jobs.append(timed)
            report(len(jobs), max(plan.least, index + 1) * len(groups))
    return seconds, jobs
