"""How long a build measures, what that costs, and which jobs are repeated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from latency.builder.build import build_table, finished_table
from latency.builder.campaign import MIN_ROUNDS, Campaign, Effort, affordable, usual_effort
from latency.builder.config import BuildConfig
from latency.builder.grid import COARSE, Grid
from latency.builder.journal import Journal, Samples, read_samples
from latency.builder.measurements import Measurements
from latency.builder.plan import make_plan
from latency.devices.local import LocalSession
from latency.table.load import SHIPPED, load_table
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from tests.helpers.costly_session import CostlySession
from tests.latency.builder.test_campaign import EFFORT, IDENTITY, Counting, Noisy, small_plan


def test_a_slow_device_measures_fewer_rounds_at_a_time() -> None:
    """But not one that prepares for long, as a GPU: fewer rounds would save nothing."""
    plan, effort = small_plan(), Effort(rounds=10, max_s=1e9)
    for costs, least in (({"run_flop": 1e-6}, MIN_ROUNDS), ({"op": 1.0, "run_flop": 1e-10}, 10)):
        for max_s, rounds in ((1e9, 10), (1e-12, least)):
            got, seconds, _ = affordable(
                plan, CostlySession(**costs), replace(effort, max_s=max_s), 1
            )
            assert got == replace(effort, max_s=max_s, rounds=rounds)
            assert seconds > 0


def test_passes_count_in_the_seconds() -> None:
    """Half a second a chain and 1e-8 s a multiply-add; only the first pass meets new shapes."""
    plan = small_plan()
    session = CostlySession(chain=0.5, dense=0.1, depthwise=0.1, run_flop=1e-8)
    calls = [(plan.reference, *job.chains) for job in plan.jobs]
    for passes in (1, 2):
        effort = Effort(rounds=3, min_passes=passes)
        _, expected_s, _ = affordable(plan, session, effort, 1)
        started = session.now
        for _ in range(passes):
            for chains in calls:
                session.time(chains, batch=1, rounds=3)
        assert expected_s == pytest.approx(session.now - started, rel=0.1)


def test_the_time_left_is_that_of_the_jobs_left(tmp_path: Path) -> None:
    """At each job, within 10 % of what the rest then takes, though jobs differ."""
    plan, left, taken = small_plan(), [], []
    session = CostlySession(chain=0.5, run_flop=1e-8)
    effort = replace(EFFORT, max_passes=2)
    with Journal(tmp_path / "j.jsonl", IDENTITY) as journal:
        costs = affordable(plan, session, effort, 1)[2]
        campaign = Campaign(plan, session, journal, effort, 1, 0, costs)

        def report(*_: int) -> None:
            left.append(campaign.left_s)
            taken.append(session.now)

        campaign.run(report)
    rest = taken[-1] - np.array(taken)
    assert len(left) == 2 * len(plan.jobs) and left[-1] == 0
    np.testing.assert_allclose(left[:-1], rest[:-1], rtol=0.1)


def test_the_time_left_ends_where_no_further_job_starts(tmp_path: Path) -> None:
    """The first pass is finished, whatever it takes; jobs of later ones start for `max_s`."""
    plan, found = small_plan(), {}
    for max_s in (0.0, 1e9):
        session = CostlySession(chain=0.5)
        with Journal(tmp_path / f"{max_s}.jsonl", IDENTITY) as journal:
            effort = replace(EFFORT, max_s=max_s, min_passes=4, max_passes=5)
            costs = affordable(plan, session, replace(effort, max_s=1e9), 1)[2]
            campaign = Campaign(plan, session, journal, effort, 1, 0, costs)
            left: list[float | None] = []
            campaign.run(lambda *_, left=left, of=campaign: left.append(of.left_s))  # type: ignore[misc]
        found[max_s] = left
    jobs = len(plan.jobs)
    chains = sum(1 + len(job.chains) for job in plan.jobs)
    assert len(found[0.0]) == jobs and found[0.0][-1] == pytest.approx(0, abs=1e-6)
    assert found[1e9][jobs - 1] == pytest.approx(3 * 0.5 * chains, rel=0.05)
    assert all(each is not None and each >= 0 for each in found[1e9])


def test_a_gpu_is_measured_in_one_pass_a_processor_in_two() -> None:
    """A processor's speed drifts between passes; the plan is the same on both."""
    here, gpu = SimpleNamespace(host_info={}), SimpleNamespace(host_info={"accelerator": {}})
    for coarse, tolerance, max_s in ((False, 0.01, 560.0), (True, 0.02, 100.0)):
        assert usual_effort(here, coarse) == Effort(tolerance=tolerance, max_s=max_s)
        found = usual_effort(gpu, coarse)
        assert found == replace(usual_effort(here, coarse), min_passes=1, share=0.0025)
    assert (Effort().min_passes, Effort().share) == (2, 0.0)


def test_a_pass_repeats_what_is_not_settled(tmp_path: Path) -> None:
    """A block whose error is small in a network is settled, however noisy it is of itself."""
    plan = small_plan()
    noisy = [target.long for target in plan.targets[1:]]
    passes = {}
    for share in (0.0, 1.0):
        with Journal(tmp_path / f"{share}.jsonl", IDENTITY) as journal:
            effort = Effort(rounds=4, min_passes=1, max_passes=2, share=share)
            campaign = Campaign(plan, Noisy(noisy), journal, effort, 1, 0)
            campaign.run(lambda *_: None)
        passes[share] = sorted(number for index, number in journal.done if index == 1)
        assert campaign.stopped_by == ("passes" if share == 0 else "stable")
        assert sum(index == 0 for index, _ in journal.done) == len(plan.jobs)
    assert passes == {0.0: [1], 1.0: []}


@pytest.mark.slow
def test_one_pass_settles_every_block_of_the_table_of_a_gpu() -> None:
    """The samples of the shipped table, one pass of four rounds. Judged by the blocks themselves
    four of 45 jobs would be repeated, for nine heads; by what their error is in a network none.
    Two of the rounds give the networks as well as all four: more samples add nothing."""
    path = SHIPPED / "h200-f16-b8.samples.jsonl.xz"
    rows = read_samples(path)[1]
    plan = make_plan(COARSE, ShuffleNetV2Space(), 20, 0)
    assert plan.digest == "de3ccb7b4e1e9eea"
    gpu = usual_effort(SimpleNamespace(host_info={"accelerator": {}}), coarse=True)
    errors = {}
    for rounds in (slice(4), slice(2), slice(2, 4)):
        samples = Samples(plan.sizes)
        for row in rows:
            cut = {name: [each[rounds] for each in row[name]] for name in ("times", "reference")}
            samples.count(row | cut)
        header = load_table(SHIPPED / "h200-f16-b8.json").header
        origin = replace(header, scale={"factor": 1.0, "how": "none"})
        table = finished_table(Measurements(plan, samples), origin, seed=0)
        errors[rounds.start, rounds.stop] = [
            table.header.network_error[name]["scaled"]["mean_abs_error"]
            for name in ("held_out", "on_grid")
        ]
        if rounds == slice(4):
            left = [Campaign(plan, None, samples, each, 8, 0).unsettled(1)
                    for each in (gpu, replace(gpu, share=0.0))]  # fmt: skip
            assert [len(each) for each in left] == [0, 4]
    every = np.array(errors[None, 4])
    for half in (errors[None, 2], errors[2, 4]):
        assert np.abs(np.array(half) - every).max() < 0.002


class Full(Counting):
    """An engine on one of two GPUs, whose memory is full at `stop_at` of its chains."""

    def prepare(self, blocks: Any, batch: int = 1) -> Any:
        if self.prepared == self.stop_at:
            raise MemoryError("batch 1 needs 1.25 GiB more than Chip has free: lower --batch")
        return super().prepare(blocks, batch)

    def available_bytes(self) -> int:
        return 2**40

    def accelerator_info(self) -> dict[str, Any]:
        return {"name": "Chip", "card": "Chip, GPU 1 of 2", "uuid": "GPU-7"}


@pytest.mark.slow
def test_a_gpu_without_memory_in_the_midst_of_a_build(tmp_path: Path) -> None:
    """One line says how much and what to do; the same command goes on. The log names the GPU, and
    so does the header."""
    config = BuildConfig(engine="null", input="32x32", networks=2, out=tmp_path / "t")
    grid = Grid("few", stem=8, first=9, rest=12, head=9)
    effort = Effort(rounds=2, min_passes=1, max_passes=1)
    lines: list[str] = []
    full, whole = Full(40), Full()
    with pytest.raises(
        MemoryError,
        match=r"1\.25 GiB more than Chip has free: lower --batch; wha"
        r"t was measured is kept: with that memory free the same command goes on",
    ):
        build_table(config, session=LocalSession(full), grid=grid, effort=effort,
                    log=lines.append)  # fmt: skip
    kept = (tmp_path / "t.journal.jsonl").read_text().splitlines()[1:]
    assert kept and "blocks and 5 networks on Chip, GPU 1 of 2, null 1" in lines[0]
    table = build_table(config, session=LocalSession(whole), grid=grid, effort=effort,
                        log=lines.append)  # fmt: skip
    assert any(line.startswith(f"{len(kept)} jobs") for line in lines)
    samples = (tmp_path / "t.samples.jsonl").read_text().splitlines()[1:]
    assert samples[: len(kept)] == kept
    assert table.header.device == "Chip"
    assert table.header.host["accelerator"]["card"] == "Chip, GPU 1 of 2"
