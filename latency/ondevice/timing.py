"""The timing loop, the same on this host and on every device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

Clock = Callable[[], float]

CLOCK_SHARE = 0.01  # the clock's step is at most this share of a sample
MAX_LOOPS = 1_000_000
WARM_UP = 1  # rounds before the first that counts


def clock_step(clock: Clock) -> float:
    """The least time between two different readings, in seconds; 0 if the clock stands still."""
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
    """How many runs make one sample, so that the clock's step is a small share of it."""
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
    runs: Sequence[Any],
    engine: Any,
    clock: Clock | Sequence[Clock],
    rounds: int,
    steady: Sequence[bool],
) -> Iterator[list[float]]:
    """Time prepared chains round by round, each once a round, so that drift affects all alike.

    Args:
        runs: objects with `run()`; one may occur several times.
        engine: its `evict()` overwrites the caches.
        clock: one for all runs, or one per run.
        steady: per run, whether it directly follows a run of the same chain, as in a network in
            use, with the caches as that left them.

    Yields:
        For each round after the warm-up, the seconds of one run of each.
    """
    clocks = [clock] * len(runs) if callable(clock) else list(clock)
    steps = {each: clock_step(each) for each in dict.fromkeys(clocks)}
    loops = [loops_for(run, clocks[row], steps[clocks[row]]) for row, run in enumerate(runs)]
    for index in range(WARM_UP + rounds):
        times = []
        for row, run in enumerate(runs):
            run.run()
            if not steady[row]:
                engine.evict()
            times.append(timed(run, clocks[row], loops[row]) / loops[row])
        if index >= WARM_UP:
            yield times
