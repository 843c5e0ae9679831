"""Drift factors, the rounds that count, and what remains of disturbances."""

from __future__ import annotations

import numpy as np
import pytest

from latency.devices.session import Timed
from latency.measure import drift
from latency.measure.drift import TimedGroup
from latency.measure.network import Timings, time_networks
from space.zoo.families import shufflenet_v2

CHAINS = np.array([1e-3, 2e-3, 4e-3])
REFERENCE_S = 5e-3


def group_of(factors: list[float], chains: np.ndarray = CHAINS) -> TimedGroup:
    """Rounds without noise, with these drift factors."""
    return TimedGroup(np.outer(chains, factors), np.outer([REFERENCE_S] * 2, factors))


def test_the_reference_time_is_the_middle_of_the_quieter_half() -> None:
    groups = [group_of([level] * 3) for level in (1.0, 1.1, 1.2, 1.7, 2.0)]
    assert drift.typical_reference_s(groups) == pytest.approx(1.1 * REFERENCE_S)
    assert drift.typical_reference_s(groups[::2]) == pytest.approx(
        1.1 * REFERENCE_S
    )  # between 1.0 and 1.2


def test_the_reference_time_does_not_depend_on_how_often_the_reference_is_timed() -> None:
    """The quartile of single noisy samples would be lower than that of their means."""
    rng = np.random.default_rng(0)
    found = []
    for samples in (1, 4):
        noise = np.exp(0.03 * rng.standard_normal((300, samples, 10)))
        groups = [TimedGroup(np.ones((1, 10)), REFERENCE_S * one) for one in noise]
        found.append(drift.typical_reference_s(groups) / REFERENCE_S)
    assert found == pytest.approx([1, 1], abs=0.01)
    assert found[0] == pytest.approx(found[1], abs=0.006)


def test_the_drift_factor_is_the_references_time_over_its_typical_time() -> None:
    factors = [1.0, 1.2, 0.9, 1.7]
    assert drift.drift_factor(group_of(factors), REFERENCE_S) == pytest.approx(factors)
    assert drift.drift_factor(group_of(factors), 2 * REFERENCE_S) == pytest.approx(
        [f / 2 for f in factors]
    )
    assert drift.drift_factor(group_of(factors), REFERENCE_S, exclude=(0, 1, 2)) == pytest.approx(
        factors
    )


def test_an_excluded_chain_does_not_change_the_factor() -> None:
    odd = group_of([1.0] * 6)
    odd.times[1] *= [1, 3, 1, 0.2, 1, 1]
    odd.times[2] *= [1, 3, 1, 0.2, 1, 1]
    assert drift.drift_factor(odd, REFERENCE_S, exclude=(1, 2)) == pytest.approx([1.0] * 6)
    assert drift.drift_factor(odd, REFERENCE_S).max() > 2


def test_a_slip_of_the_reference_moves_no_round() -> None:
    """Two samples a round are noisy: the chains give the differences, it gives the level."""
    slip = group_of([1.1] * 8)
    slip.reference[:, 3] *= 2
    assert drift.drift_factor(slip, REFERENCE_S) == pytest.approx([1.1] * 8)


@pytest.mark.parametrize(
    ("factors", "kept"),
    [
        ([1.0, 1.07, 1.01, 1.06, 1.02, 1.03, 1.05, 1.04], [0, 2, 4, 5]),
        ([1.0, 0.93, 0.99, 0.94, 0.98, 0.97, 0.95, 0.96], [0, 2, 4, 5]),  # faster is no better
        ([1.0, 2.0, 3.0], [0, 1, 2]),  # too few to leave any out
        ([3.0, 1.0, 2.0, 4.0, 5.0], [0, 1, 2, 3]),
        ([1.0] * 8, list(range(8))),  # nothing to choose by
        ([1.0, 1.5, 1.0, 1.6, 1.7, 1.0, 1.8, 1.0, 1.9, 2.0], [0, 2, 5, 7]),  # fewer than half
    ],
)
def test_the_half_with_factors_nearest_to_1_counts(factors: list[float], kept: list[int]) -> None:
    assert np.flatnonzero(drift.select_rounds(np.array(factors))).tolist() == kept


def test_an_outlier_is_far_from_1_on_either_side() -> None:
    found = drift.outlier_rounds(np.array([1.0, 1.09, 1.12, 0.92, 0.88]))
    assert found.tolist() == [False, False, True, False, True]


def test_chains_known_from_other_groups_contribute_to_the_level() -> None:
    """Six samples of three chains outvote a reference that slipped in its two rounds."""
    slip = group_of([1.2, 1.2])
    slip.reference[:] *= 1.5
    assert drift.drift_factor(slip, REFERENCE_S) == pytest.approx([1.8, 1.8])
    assert drift.drift_factor(slip, REFERENCE_S, typical=CHAINS) == pytest.approx([1.2, 1.2])
    odd = np.array([1.0, *CHAINS[1:]])  # the value of an excluded chain does not matter
    assert drift.drift_factor(slip, REFERENCE_S, (0,), CHAINS) == pytest.approx(
        drift.drift_factor(slip, REFERENCE_S, (0,), odd)
    )


def test_samples_are_corrected_for_drift() -> None:
    """Of two groups, in which a chain has another row."""
    first, second = (
        group_of([1.0, 1.05, 1.3, 1.02]),
        group_of([2.0, 0.99, 1.01, 1.0], CHAINS[::-1]),
    )
    found = drift.corrected_samples([first, second], [[0], [2]], REFERENCE_S)
    assert found.shape == (1, 4)
    assert found == pytest.approx(CHAINS[0])


def test_a_chain_never_chooses_its_own_rounds() -> None:
    """Fast samples of one network, in rounds that are slow for the others, do not count."""
    own = np.ones((5, 12))
    own[1:, 6:] = 1.5
    own[0, 6:] = 0.5
    reference = np.tile(np.where(np.arange(12) < 6, 1.0, 1.5), (2, 1))
    timings = Timings(5, ((np.arange(5), TimedGroup(own, reference)),))
    assert timings.seconds(1.0) == pytest.approx(np.ones(5))


def drifting(seed: int) -> tuple[np.ndarray, Timings]:
    """Forty networks whose machine is slowed by up to 2 in two of five groups, and wanders by a
    tenth besides: their seconds, and what was timed."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(1e-3, 1e-2, 40)
    groups = []
    wander = 0.0
    for _ in range(6):
        for rows in np.split(rng.permutation(40), 4):
            wander = 0.7 * wander + 0.07 * rng.standard_normal()
            factors = np.exp(wander) * (rng.uniform(1.3, 2.0) if rng.random() < 0.4 else 1.0)
            noise = np.exp(0.02 * rng.standard_normal((12, 4)))
            chains = np.concatenate([truth[rows], [REFERENCE_S, REFERENCE_S]])
            times = factors * chains[:, None] * noise
            groups.append((rows, TimedGroup(times[:10], times[10:])))
    return truth, Timings(40, tuple(groups))


@pytest.mark.parametrize("seed", range(5))
def test_disturbances_leave_times_as_they_are(seed: int) -> None:
    """Relative to the reference; a plain median of every round moves by a tenth."""
    truth, timings = drifting(seed)
    error = np.abs(timings.seconds(REFERENCE_S) / truth - 1)
    assert error.mean() < 0.01 and error.max() < 0.04  # samples have noise of 0.02 each
    plain = [
        np.median(np.concatenate([v.times[list(r).index(n)] for r, v in timings.groups if n in r]))
        for n in range(40)
    ]
    assert np.abs(plain / truth - 1).max() > 0.1
    once = [timings.network_s(n, REFERENCE_S) for n in range(40)]
    assert np.log(timings.seconds(REFERENCE_S) / once).mean() == pytest.approx(0, abs=1e-12)
    ratio = timings.seconds() / timings.seconds(REFERENCE_S)
    assert np.median(ratio) == pytest.approx(timings.reference_s / REFERENCE_S, rel=0.01)


class Session:
    """Takes a nanosecond a multiply-add, and twice that in the groups in `slow`."""

    emulation, engine = "", "null"

    def __init__(self, slow: set[int]) -> None:
        self.slow = slow
        self.sizes: list[int] = []
        self.steady: list[bool] = []
        self.chains: list = []

    def time(self, chains: list, *, rounds: int, steady: list[bool], **_: object) -> Timed:
        flops = np.array([sum(block.flops for block in chain) for chain in chains])
        factor = 2.0 if len(self.sizes) in self.slow else 1.0
        self.sizes.append(len(chains) - 2)
        self.steady, self.chains = steady, chains
        return Timed(np.tile(flops[:, None] * 1e-9 * factor, rounds), 0.5, 0.4, 0.1)


@pytest.mark.parametrize(
    ("slow", "more"),
    [
        (set(), False),
        ({0}, False),  # once of three times: enough is left
        ({0, 2}, True),
    ],
)
def test_disturbed_networks_are_timed_once_more(slow: set[int], more: bool) -> None:
    """Sixteen networks in three passes of two groups."""
    networks = [shufflenet_v2(size) for size in ("0.5", "1.0", "1.5", "2.0")] * 4
    session = Session(slow)
    got = time_networks(session, networks, rounds=18).seconds()  # type: ignore[arg-type]
    assert got == pytest.approx([network.flops * 1e-9 for network in networks])
    assert session.sizes[:6] == [12, 4] * 3
    assert session.sizes[6:] == ([12] if more else [])


@pytest.mark.parametrize(
    ("steady", "each", "places"),
    [
        (True, [True] * 5, [0, 2]),
        (False, [True, False, False, False], [0]),
    ],
)
def test_the_reference_is_timed_in_steady_use(
    steady: bool, each: list[bool], places: list[int]
) -> None:
    """Also among chains that are not."""
    reference = drift.reference_chain(224, 224)
    flops = sum(block.flops for block in reference)
    assert flops == pytest.approx(299e6, rel=0.02)  # Table 5 of the paper
    networks = [shufflenet_v2(size) for size in ("0.5", "1.0", "2.0")]
    session = Session(set())
    chains = [network.blocks for network in networks]
    found, timed = drift.time_with_reference(session, chains, reference, rounds=3, steady=steady)  # type: ignore[arg-type]
    assert session.steady == each
    assert [chain == reference for chain in session.chains] == [
        place in places for place in range(len(each))
    ]
    assert found.times.tolist() == [[n.flops * 1e-9] * 3 for n in networks]
    assert found.reference.tolist() == [[flops * 1e-9] * 3] * len(places)
    assert timed.wall_s == 0.5
