"""Which rounds count: told by other chains, and what that leaves of a disturbance."""

from __future__ import annotations

import numpy as np
import pytest

from latency.devices import Timed
from latency.quiet import disturbed_share, level, quieter, slowness
from latency.whole import time_networks, typical_s
from space.network import shufflenet_v2

QUIET = np.tile([[1.0], [2.0], [4.0]], 10)  # three chains, ten rounds


def test_slowness_is_relative_to_a_chains_own_quiet_time() -> None:
    times = QUIET.copy()
    times[:, 6:] *= 1.7
    slow = slowness(times)
    assert np.allclose(slow[:, :6], 1.0)
    assert np.allclose(slow[:, 6:], 1.7)


def test_a_rounds_level_is_the_median_of_the_others() -> None:
    slow = np.array([[1.0, 9.0], [1.1, 1.3], [1.2, 1.5]])
    assert level(slow).tolist() == [1.1, 1.5]
    assert level(slow, without=[0]).tolist() == pytest.approx([1.15, 1.4])
    assert level(slow, without=[0, 1, 2]).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("levels", "kept"),
    [
        ([1.0, 1.07, 1.01, 1.06, 1.02, 1.03, 1.05, 1.04], [0, 2, 4, 5]),
        ([1.0, 2.0, 3.0], [0, 1, 2]),  # too few to leave any out
        ([3.0, 1.0, 2.0, 4.0, 5.0], [0, 1, 2, 3]),
        ([1.0] * 8, list(range(8))),  # nothing to choose by
        ([1.04, 1.03, 1.02, 1.01, 1.0, 1.05, 1.06, 1.07, 1.08], [0, 1, 2, 3, 4]),  # of nine
        ([1.0, 1.5, 1.0, 1.6, 1.7, 1.0, 1.8, 1.0, 1.9, 2.0], [0, 2, 5, 7]),  # fewer than half
    ],
)
def test_the_quieter_half_counts(levels: list[float], kept: list[int]) -> None:
    assert np.flatnonzero(quieter(np.array(levels))).tolist() == kept


def test_share_of_disturbed_rounds() -> None:
    """Relative to each job's quietest round."""
    assert disturbed_share([np.array([2.0, 2.1, 2.5, 4.0]), np.ones(4)]) == 0.25
    assert disturbed_share([]) == 0.0


def test_a_chain_never_chooses_its_own_rounds() -> None:
    """Fast samples of one network, in rounds that are slow for the others, do not count."""
    times = np.ones((5, 12))
    times[1:, 6:] = 1.5
    times[0, 6:] = 0.5
    assert typical_s(5, [(np.arange(5), times)]).tolist() == [1.0] * 5


@pytest.mark.parametrize("seed", range(5))
def test_disturbed_rounds_leave_times_as_they_are(seed: int) -> None:
    """Two of five visits are slowed by up to 2, but never five of a network's six; a plain median
    of every round moves."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(1e-3, 1e-2, 40)
    visits = []
    slowed = np.zeros(40, dtype=int)
    for _ in range(6):
        for rows in np.split(rng.permutation(40), 4):
            slow = rng.random() < 0.4 and slowed[rows].max() < 4
            slowed[rows] += slow
            factor = rng.uniform(1.3, 2.0) if slow else 1.0
            noise = np.exp(0.02 * rng.standard_normal((10, 4)))
            visits.append((rows, factor * truth[rows, None] * noise))
    plain = np.array(
        [
            np.median(np.concatenate([t[list(rows).index(n)] for rows, t in visits if n in rows]))
            for n in range(40)
        ]
    )
    error = np.abs(typical_s(40, visits) / truth - 1)
    assert error.max() < 0.03
    assert np.abs(plain / truth - 1).max() > 0.1


class Session:
    """Takes a nanosecond a multiply-add, and twice that in the visits in `slow`."""

    emulation, engine = "", "null"

    def __init__(self, slow: set[int]) -> None:
        self.slow = slow
        self.visits: list[int] = []

    def time(self, chains: list, *, rounds: int, **_: object) -> Timed:
        flops = np.array([sum(block.flops for block in chain) for chain in chains])
        factor = 2.0 if len(self.visits) in self.slow else 1.0
        self.visits.append(len(chains))
        return Timed(np.tile(flops[:, None] * 1e-9 * factor, rounds), 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("slow", "more"),
    [
        (set(), False),
        ({0}, False),  # once of three times: enough is left
        ({0, 2}, True),
    ],
)
def test_networks_that_were_disturbed_are_timed_again(slow: set[int], more: bool) -> None:
    """Sixteen networks in three passes of two visits."""
    networks = [shufflenet_v2(size) for size in ("0.5", "1.0", "1.5", "2.0")] * 4
    session = Session(slow)
    got = time_networks(session, networks, rounds=12)  # type: ignore[arg-type]
    assert got == pytest.approx([network.flops * 1e-9 for network in networks])
    assert session.visits[:6] == [12, 4] * 3
    assert session.visits[6:] == ([12] if more else [])
