"""Timed blocks, with clocks that follow a script."""

import numpy as np
import pytest

from latency.builder.grid import block_in_context
from latency.engines.null import RUN_S, block_s
from latency.engines.registry import get_engine
from latency.measure.block import BlockTarget, measurement
from latency.ondevice.timing import CLOCK_SHARE, clock_step, loops_for, time_rounds
from space.network.block import Block

X = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)


def time_chains(chains, engine, *, rounds, steady=False):
    """Seconds of one run, float64 [chains, rounds]."""
    runs = [engine.prepare(chain) for chain in chains]
    found = list(time_rounds(runs, engine, engine.clock, rounds, [steady] * len(runs)))
    return np.array(found).T


class Script:
    """A clock with ticks of `tick_s`, and a run that takes `run_s`."""

    def __init__(self, tick_s, run_s, look_s=0.0):
        self.now, self.tick_s, self.run_s, self.look_s = 0.0, tick_s, run_s, look_s

    def clock(self):
        self.now += self.look_s
        return self.now // self.tick_s * self.tick_s

    def run(self):
        self.now += self.run_s


def test_clock_step_is_the_tick():
    script = Script(tick_s=1e-3, run_s=0, look_s=1e-5)
    assert clock_step(script.clock) == pytest.approx(1e-3)


def test_clock_step_of_a_clock_that_only_runs_move():
    assert clock_step(get_engine("null").clock) == 0


@pytest.mark.parametrize("run_s", [1e-6, 1e-4, 3e-3, 1.0])
def test_loops_make_the_step_a_small_share(run_s):
    script = Script(tick_s=1e-3, run_s=run_s)
    loops = loops_for(script, script.clock, 1e-3)
    assert loops * run_s >= 1e-3 / CLOCK_SHARE - 1e-3
    assert loops == 1 or loops * run_s < 1  # and not far more than that


def test_loops_stay_one_where_the_clock_is_fine():
    script = Script(tick_s=1e-9, run_s=1e-3)
    assert loops_for(script, script.clock, 1e-9) == 1


def test_time_chains_gives_seconds_of_one_run():
    engine = get_engine("null")
    times = time_chains([(X,), (X, X)], engine, rounds=3)
    assert times.shape == (2, 3)
    expected = [[RUN_S + n * block_s(X)] * 3 for n in (1, 2)]
    np.testing.assert_allclose(times, expected)


@pytest.mark.parametrize("steady, evicted", [(False, 8), (True, 0)])
def test_caches_are_overwritten_between_an_untimed_run_and_a_timed_one(steady, evicted):
    engine, log = get_engine("null"), []

    class Run:
        def run(self):
            log.append("run")
            engine.runner.now_s += 1.0

    engine.prepare = lambda chain, batch=1: Run()
    engine.evict = lambda: log.append("evict")
    times = time_chains([(X,), (X, X)], engine, rounds=3, steady=steady)
    assert times.tolist() == [[1.0] * 3] * 2
    sample = ["run", "run"] if steady else ["run", "evict", "run"]
    assert log[2:] == sample * 8 and log.count("evict") == evicted


def test_a_block_costs_the_difference_without_the_start_of_a_run():
    engine = get_engine("null")
    target = block_in_context(X)
    before, long = time_chains(target.chains, engine, rounds=3)
    found = measurement(target.copies, long, before)
    assert found.median_s == pytest.approx(block_s(X))
    assert found.n == 3


def test_measurement_by_hand():
    long, before = np.array([9.0, 10.0, 11.0, 12.0, 30.0]), np.array([1.0, 1.0, 1.0, 1.0, 2.0])
    found = measurement(2, long, before)
    assert (found.q25_s, found.median_s, found.q75_s) == (4.5, 5.0, 5.5)


def test_noise_larger_than_the_block_is_no_measurement():
    with pytest.raises(ValueError, match="`median_s` must be"):
        measurement(1, np.array([1.0, 1.0]), np.array([2.0, 2.0]))


def test_the_relative_error_grows_with_the_spread():
    quiet = measurement(1, np.array([1.0, 1.001, 1.002, 1.001]))
    loud = measurement(1, np.array([1.0, 1.5, 2.0, 1.1]))
    assert quiet.error <= 0.01 < loud.error


class TestContext:
    def test_a_block_that_can_follow_itself_is_stacked(self):
        target = block_in_context(X)
        assert target.before == (X,) and target.long == (X,) * (1 + target.copies)

    def test_one_that_takes_an_image_comes_first(self):
        stem = Block("stem", 32, 32, c_out=8)
        assert block_in_context(stem) == BlockTarget(stem)

    def test_others_follow_a_block_that_fits(self):
        down = Block("shufflenet_v2", 6, 6, c_in=8, c_out=16, branch=8, stride=2)
        (before,) = block_in_context(down).before
        assert before.out_shape == (8, 6, 6)
        assert block_in_context(down, (X,)).before == (X,)
