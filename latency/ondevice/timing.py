"""The timing loop itself, of whatever can run: the same here and on every device.

Standard library only, Python 3.9: this file is pushed to devices (latency/devices/archive.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

Clock = Callable[[], float]

CLOCK_SHARE = 0.01  # the clock's own step is at most this share of a sample
MAX_LOOPS = 1_000_000
WARM_UP = 1  # rounds that are not kept


def clock_step(clock: Clock) -> float:
    """The least time between two different readings, in seconds; 0 if waiting moves it not."""
    steps = []
    for _ in range(10):
        first = last = clock()
        for _ in range(10_000):
            last = clock()
            if last != first:
                break
        steps.append(last - first)
    return min(steps)


def loops_for(run: Any, clock: Clock, step_s: float) -> int:
    """How many runs make one sample of which the clock's step is a small share."""
    loops = 1
    while loops < MAX_LOOPS:
        taken = timed(run, clock, loops)
        if step_s <= CLOCK_SHARE * taken:
            return loops
        enough = loops * step_s / CLOCK_SHARE / max(taken, step_s)
        loops = min(MAX_LOOPS, max(2 * loops, int(enough) + 1))
    return loops


def timed(run: Any, clock: Clock, loops: int) -> float:
    """Seconds of `loops` runs."""
    start = clock()
    for _ in range(loops):
        run.run()
    return clock() - start


def time_rounds(
    runs: Sequence[Any], engine: Any, clock: Clock, rounds: int, steady: Sequence[bool]
) -> Iterator[list[float]]:
    """Time prepared chains round by round, each once a round, so that drift hits all alike.

    Args:
        runs: what `run()` runs; one may come several times a round.
        engine: what `evict()` overwrites caches with.
        steady: of each, whether it is timed right after a run of its own, as a network in use;
            without overwriting the caches in between.

    Yields:
        For each round that is kept, seconds of one run of each.
    """
    step_s = clock_step(clock)
    loops = [loops_for(run, clock, step_s) for run in runs]
    for index in range(WARM_UP + rounds):
        times = []
        for row, run in enumerate(runs):
            run.run()
            if not steady[row]:
                engine.evict()
            times.append(timed(run, clock, loops[row]) / loops[row])
        if index >= WARM_UP:
            yield times
