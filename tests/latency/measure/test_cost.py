"""What timing costs: on sessions that cost by a rule, and in the seconds of a build on an H200."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from latency.builder.config import BuildConfig
from latency.builder.grid import COARSE
from latency.builder.journal import read_samples
from latency.builder.plan import Plan, make_plan
from latency.devices.session import Timed
from latency.measure.cost import CallWork, TimingCosts, probe_costs, work_of
from latency.table.load import SHIPPED
from space.network.block import Block
from tests.helpers.costly_session import CostlySession

UNIT = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)
OTHER = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4, kernel=5)
# Milliseconds to choose a kernel dominate on a GPU; loading and multiply-adds do on a processor.
DEVICES: dict[str, dict[str, float]] = {
    "gpu that times kernels": {
        "first": 3, "call": 0.05, "op": 1.2e-3, "dense": 0.018, "depthwise": 0.19,
        "run_chain": 1e-4, "run_op": 4e-6, "run_flop": 3e-13,
    },
    "gpu with dear dense kernels": {
        "first": 3, "call": 0.05, "op": 1.2e-3, "dense": 0.1, "depthwise": 0.02,
        "run_chain": 1e-4, "run_op": 4e-6,
    },
    "gpu without a choice": {
        "first": 3, "call": 0.05, "chain": 2e-3, "op": 1.2e-3, "run_chain": 1e-4, "run_op": 4e-6,
    },
    "processor": {
        "first": 0.2, "chain": 0.01, "op": 5e-4, "weight": 2e-9, "run_chain": 3e-3,
        "run_flop": 6e-11,
    },
    "compiler": {"first": 20, "chain": 0.5, "op": 0.05, "run_chain": 3e-3, "run_flop": 6e-11},
    "board over ssh": {
        "first": 2, "call": 0.3, "chain": 0.05, "op": 1e-3, "weight": 1e-8, "run_chain": 0.01,
        "run_flop": 3e-10,
    },
}  # fmt: skip


@cache
def coarse() -> tuple[Plan, list[CallWork]]:
    plan = make_plan(COARSE, BuildConfig().space, 20, 0)
    return plan, [work_of([plan.reference, *job.chains]) for job in plan.jobs]


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_a_plan_costs_what_a_probe_says(device: str, noise: float) -> None:
    """Within a factor of 1.5, whatever is dear; the probe of a GPU takes less than 10 s."""
    plan, works = coarse()
    for seed in range(2):
        session = CostlySession(**DEVICES[device], noise=noise, seed=seed)
        costs = probe_costs(
            session, [job.chains for job in plan.jobs], batch=8, steady=False,
            reference=plan.reference, clock=session.clock,
        )  # fmt: skip
        if device.startswith("gpu"):
            assert session.now < 10
        expected = [costs.seconds(works, 10), costs.again_s(works, 10)]
        taken = []
        for _ in expected:
            started = session.now
            for job in plan.jobs:
                session.time([plan.reference, *job.chains], batch=8, rounds=10)
            taken.append(session.now - started)
        assert np.abs(np.log(np.divide(expected, taken))).max() < np.log(1.5)


@pytest.mark.slow
def test_the_seconds_of_a_build_on_a_gpu() -> None:
    """Of its first process, until it was stopped: from six jobs on, what the rest takes is known
    to a factor of 1.5 at every moment, and better than by the count of jobs."""
    path = SHIPPED / "h200-f16-b8.samples.jsonl.xz"
    rows = read_samples(path)[1]
    rows = rows[: [row["job"] for row in rows].index(6)]
    _, works = coarse()
    costs, errors = TimingCosts(), []
    for count, row in enumerate(rows[:-1], 1):
        # A round of a chain takes some 0.6 ms, twice the median run and what is around it.
        runs_s = 6e-4 * 6 * len(row["times"])
        times = Timed(np.ones((1, 1)), row["device_s"], 0.0, row["device_s"] - runs_s)
        costs.learn(works[row["job"]], 4, row["wall_s"], times)
        rest = rows[count:]
        left_s = sum(row["wall_s"] for row in rest)
        by_count = sum(row["wall_s"] for row in rows[:count]) / count * len(rest)
        found = costs.seconds([works[row["job"]] for row in rest], 4)
        errors.append([abs(np.log(found / left_s)), abs(np.log(by_count / left_s))])
    ours, counted = np.array(errors[6:]).T
    assert ours.max() < np.log(1.5) < counted.max()
    assert ours.mean() < counted.mean()


def test_a_shape_costs_once() -> None:
    """A unit of stride 1 has two dense convolutions, of one shape here, and a depthwise one; with
    another kernel only the depthwise one is new."""
    one, other = work_of([(UNIT, UNIT)]), work_of([(OTHER,)])
    assert (one.chains, one.ops, one.flops) == (1, 2 * len(UNIT.ops), 2 * UNIT.flops)
    assert [len(each) for each in (one.dense, one.depthwise)] == [1, 1]
    assert other.dense == one.dense and not other.depthwise & one.depthwise
    session = CostlySession(dense=2.0, depthwise=3.0)
    costs = TimingCosts()
    for seconds in (5.0, 0.0):
        timed = session.time([(UNIT, UNIT)], batch=1, rounds=1)
        assert timed.prepare_s == seconds
        costs.learn(one, 1, seconds, timed)
    assert costs.seconds([one], 1) == pytest.approx(0, abs=1e-9)
    # One call does not tell which of the two was dear, so each counts alike.
    assert costs.seconds([other], 1) == pytest.approx(2.5, rel=0.02)
    assert costs.again_s([other], 1) == pytest.approx(0, abs=1e-9)


def test_a_chain_that_occurs_twice_is_loaded_once() -> None:
    assert work_of([(UNIT,), (UNIT,)]) == work_of([(UNIT,)])


def test_runs_cost_by_their_rounds() -> None:
    """Five runs in a round with a clock that only runs move, then two for each further one."""
    costs, work = TimingCosts(), work_of([(UNIT,)])
    for rounds, runs in ((1, 5), (10, 23)):
        costs.learn(work, rounds, runs * 1.0, Timed(np.ones((1, 1)), runs * 1.0, 0.0, 0.0))
    assert costs.seconds([work], 100) == pytest.approx(203, rel=1e-3)
    assert costs.seconds([], 10) == 0


def test_a_probe_does_not_go_on_for_long() -> None:
    """A first call, two chains alone, which take over five seconds, and all three once more."""
    session = CostlySession(call=4.0)
    chains = [[(Block("conv", 4, 4, c_in=c, c_out=c),)] for c in range(4, 24, 4)]
    probe_costs(session, chains, batch=1, steady=True, reference=(UNIT,), clock=session.clock)
    assert session.now == 4 * 4.0
