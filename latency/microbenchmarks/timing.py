"""Time the microbenchmarks: the seconds that ten more blocks add to a short chain."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latency.devices.session import Session, Timed
from latency.measure.block import Floats, chain_flops, probe
from latency.paper_model.cases import Case
from space.common.cli import check_range
from space.common.files import cache_dir
from space.common.progress import Report
from space.network.block import Block, Chain

PASSES = 6  # each prepares every chain anew, so their spread is that of repeated measurements
MOST_ROUNDS = 10_000
BEFORE = 2  # units before the ten blocks: their edges and the start of a run cancel


@dataclass(frozen=True, slots=True, kw_only=True)
class MicrobenchmarkConfig:
    """Where and how the microbenchmarks are measured.

    `device` and `engine`: as `latency.devices.open.open_session` takes them. `batch`: images of
    a run. `rounds`: times each chain is timed. `columns`: "arm" or "gpu", the paper's device with
    the same widths. `out`: folder of the files; None: in the cache. `command`: the user's command,
    for the record.

    Raises:
        ValueError: a number that is out of its range, which the message has.
    """

    device: str = "cpu"
    engine: str = "onnxruntime"
    threads: int = 1
    batch: int = 1
    rounds: int = 30
    columns: str = "arm"
    out: Path | None = None
    command: str = ""

    def __post_init__(self) -> None:
        values = {"threads": self.threads, "batch": self.batch, "rounds": self.rounds}
        check_range(values, "threads", "batch", rounds=(2, MOST_ROUNDS))

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.device.lower()).strip("-")
        name = "guidelines" if self.device == "cpu" else f"guidelines-{slug}"
        return self.out or cache_dir() / name


def case_chains(case: Case) -> tuple[Chain, Chain]:
    """The chain with the ten blocks and the one without.

    Both begin with a 1x1 convolution. An engine may use its own layout of maps from the first
    convolution on; a shortcut straight from the input would prevent it.
    """
    first = case.unit[0]
    lead = Block("conv", first.height, first.width, c_in=first.c_in, c_out=first.c_in)
    before = (lead, *case.unit * BEFORE)
    return (*before, *case.unit * case.repeats), before


def split_rounds(rounds: int) -> tuple[int, int]:
    """(passes, rounds of each) that make at least `rounds`.

    Raises:
        ValueError: fewer than 2 rounds, which have no spread.
    """
    if rounds < 2:
        raise ValueError(f"`rounds` must be at least 2, to estimate the noise; got {rounds}")
    passes = min(PASSES, rounds)
    return passes, math.ceil(rounds / passes)


def group_cases(cases: Sequence[Case]) -> list[list[int]]:
    """Indices of the cases that share their rounds: one width of one table each."""
    keys = [(case.table, case.scale) for case in cases]
    return [[i for i, key in enumerate(keys) if key == own] for own in dict.fromkeys(keys)]


def estimate_s(cases: Sequence[Case], session: Session, batch: int, rounds: int) -> float:
    """Wall seconds that `time_cases` will take, from one round of a row of each table.

    Raises:
        OSError: as `Session.time`.
    """
    sample = [case_chains(cases[group[-1]])[0] for group in group_cases(cases)[::2]]
    cost = probe(session, sample, batch)
    passes, each = split_rounds(rounds)
    flops = sum(chain_flops(chain) for case in cases for chain in case_chains(case))
    return passes * cost.seconds(2 * len(cases), flops, each)


def time_cases(
    cases: Sequence[Case],
    session: Session,
    *,
    batch: int = 1,
    rounds: int = 30,
    report: Report = lambda done, total: None,
) -> tuple[Floats, list[Timed]]:
    """Time the ten blocks of each case inside a longer chain.

    Each pass has its own random order of jobs and rows.

    Args:
        report: called with (jobs done, jobs) after each job.

    Returns:
        Seconds of the ten blocks, float64 [cases, passes, rounds of a pass], and the jobs in the
        order in which they ran.

    Raises:
        ValueError: fewer than 2 rounds.
        OSError: as `Session.time`.
    """
    passes, each = split_rounds(rounds)
    rng = np.random.default_rng(0)
    groups = group_cases(cases)
    seconds = np.empty((len(cases), passes, each))
    jobs: list[Timed] = []
    for index in range(passes):
        for j in rng.permutation(len(groups)):
            rows = [groups[j][i] for i in rng.permutation(len(groups[j]))]
            chains = [chain for i in rows for chain in case_chains(cases[i])]
            timed = session.time(chains, batch=batch, rounds=each, steady=True)
            seconds[rows, index] = timed.times[0::2] - timed.times[1::2]
            jobs.append(timed)
            report(len(jobs), passes * len(groups))
    return seconds, jobs
