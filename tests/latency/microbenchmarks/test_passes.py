"""How many passes there are, and that the rule that stops them keeps intervals honest."""

from __future__ import annotations

import math

import numpy as np
import pytest

from latency.devices.open import open_session
from latency.microbenchmarks.passes import (
    MOST_S,
    PassPlan,
    half_interval,
    plan_passes,
    stop_reason,
)
from latency.microbenchmarks.slowdown import Slowdown, measured_slowdowns
from latency.microbenchmarks.timing import time_cases
from latency.paper_model.cases import make_aligned, make_cases

CASES, ALIGNED = make_cases("gpu"), make_aligned("gpu")


@pytest.mark.parametrize(
    ("rounds", "adaptive", "plan"),
    [
        (2, False, (2, 2, 1)),
        (6, False, (6, 6, 1)),
        (7, False, (6, 6, 2)),
        (30, False, (6, 6, 5)),
        (2, True, (2, 2, 1)),
        (4, True, (3, 4, 2)),
        (30, True, (3, 6, 10)),
    ],
)
def test_rounds_are_split_into_passes(
    rounds: int, adaptive: bool, plan: tuple[int, int, int]
) -> None:
    found = plan_passes(rounds, adaptive)
    assert (found.least, found.most, found.rounds) == plan
    assert found.least * found.rounds >= rounds


def test_one_round_has_no_spread() -> None:
    with pytest.raises(ValueError, match=r"`rounds` must be at least 2, .*; got 1"):
        plan_passes(1)


def test_words_of_a_plan() -> None:
    assert PassPlan(6, 6, 5).words == "6 x 5 rounds"
    assert PassPlan(3, 6, 10).words == "3 to 6 x 10 rounds"


def sweep(*halves: float) -> list[Slowdown]:
    """One table whose rows have intervals of these halves."""
    return [Slowdown(1, "first", 1.0, 1.0, 1.0, 1.0)] + [
        Slowdown(1, f"row {i}", 2.0, 1.5, 1.5 / (1 + half), 1.5 * (1 + half))
        for i, half in enumerate(halves)
    ]


def test_the_median_row_decides_and_first_rows_do_not_count() -> None:
    assert half_interval([sweep(0.02), sweep(0.03), sweep(0.5)]) == pytest.approx(math.log(1.03))


@pytest.mark.parametrize(
    ("half", "done", "spent_s", "reason"),
    [
        (0.009, 3, 30.0, "precision"),
        (0.011, 3, 30.0, ""),
        (0.011, 3, 0.75 * MOST_S - 1, ""),  # a fourth is done in time
        (0.011, 3, 0.75 * MOST_S + 1, "time"),
    ],
)
def test_reasons_to_stop(half: float, done: int, spent_s: float, reason: str) -> None:
    assert stop_reason([sweep(half), sweep(half)], done, spent_s) == reason


@pytest.mark.parametrize(("until", "passes"), [(3, 3), (4, 4), (99, 6)])
def test_passes_end_when_there_are_enough(until: int, passes: int) -> None:
    asked: list[int] = []

    def enough(times: np.ndarray) -> bool:
        asked.append(times.shape[1])
        return times.shape[1] >= until

    seen: list[tuple[int, int]] = []
    with open_session("cpu", "null") as session:
        times, jobs = time_cases(
            CASES[:3],
            session,
            PassPlan(3, 6, 2),
            enough=enough,
            report=lambda *now: seen.append(now),
        )
    assert times.shape == (3, passes, 2) and len(jobs) == 3 * passes
    assert asked == list(range(3, min(until, 5) + 1))
    assert seen[-1] == (3 * passes, 3 * passes) and seen[0] == (1, 9)


def noisy(cases: tuple, sd: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Times [cases, 6, 1] of equal rates; preparations differ by `sd` (log, per case)."""
    base = np.array([case.flops for case in cases])[:, None] / 1e12
    return (base * np.exp(sd[:, None] * rng.standard_normal((len(cases), 6))))[..., None]


@pytest.mark.slow
@pytest.mark.parametrize("sd", [0.004, 0.008])
def test_intervals_keep_their_95_percent_when_noise_decides_how_many_passes(sd: float) -> None:
    """The truth of every row is 1. Rows differ in noise, by a factor of 4 between the ends."""
    rng = np.random.default_rng(1)
    inside, counts = [], []
    for _ in range(200):
        parts = []
        for cases in (CASES, ALIGNED):
            own = sd * np.exp(0.5 * rng.standard_normal(len(cases)))
            parts.append((cases, noisy(cases, own, rng)))
        for passes in range(3, 7):
            found = [measured_slowdowns(cases, times[:, :passes]) for cases, times in parts]
            if stop_reason(found, passes, 0.0):
                break
        counts.append(passes)
        rows = [row for each in found for row in each if row.high > row.low]
        inside += [row.low <= 1 <= row.high for row in rows]
    assert len(set(counts)) > 1, "noise decides"
    assert 0.935 < np.mean(inside) < 0.965
