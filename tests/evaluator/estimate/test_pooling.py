"""Pooling against hand counts, a published example and simulated sources."""

import numpy as np
import pytest
from scipy.stats import t

from evaluator.estimate.pooling import PRIOR_DF, paule_mandel, pool

# Results of nine laboratories: Kacker, "Combining information from interlaboratory evaluations
# using a random effects model" (Metrologia 41, 2004), first row of Table 1: 0.8399.
KACKER = (
    np.array([61.00, 61.40, 62.21, 62.30, 62.34, 62.60, 62.70, 62.84, 65.90]),
    np.array([0.2025, 1.2100, 0.0900, 0.2025, 0.3844, 0.5625, 0.0676, 0.0225, 1.8225]),
)
KACKER_SD = 0.8399


def test_three_studies_by_hand():
    """Equal variances of 1: the sample variance of 1, 2 and 6 is 7, of which 6 is between them."""
    found = pool([1.0, 2.0, 6.0], [1.0, 1.0, 1.0])
    assert found.mean == pytest.approx(3.0)
    assert found.between == pytest.approx(6.0)
    assert found.within == pytest.approx(1.0)
    assert found.variance == pytest.approx(7 / 3)
    assert found.next_variance == pytest.approx(6 + 7 / 3)
    assert (found.studies, found.df) == (3, 2)


def test_a_published_example_of_paule_and_mandel():
    assert np.sqrt(paule_mandel(*KACKER)) == pytest.approx(KACKER_SD, abs=6e-5)


def test_the_factor_of_knapp_and_hartung_is_one():
    """sum of w (y - mean)^2 / (k - 1), which multiplies the variance of the mean."""
    effects, variances = KACKER
    found = pool(list(effects), list(variances))
    weights = 1 / (variances + found.between)
    factor = weights @ (effects - found.mean) ** 2 / (len(effects) - 1)
    assert factor == pytest.approx(1.0, abs=1e-6)
    assert found.mean == pytest.approx(weights @ effects / weights.sum())


def test_sources_that_agree_have_no_between_variance():
    found = pool([1.0, 1.1, 0.9], [1.0, 1.0, 4.0])
    assert found.between == 0
    assert found.mean == pytest.approx((1 + 1.1 + 0.9 / 4) / 2.25)
    assert found.variance == pytest.approx(1 / 2.25)


def test_the_prior_by_hand():
    """2 of 4 degrees of freedom at 6, 2 at (3 / 2)^2; a single source has the prior alone."""
    found = pool([1.0, 2.0, 6.0], [1.0, 1.0, 1.0], prior=True)
    assert found.between == pytest.approx((2 * 6 + PRIOR_DF * 1.5**2) / 4)
    assert found.df == 2 + PRIOR_DF
    one = pool([4.0], [0.01], prior=True)
    assert one.between == pytest.approx(4.0) and one.df == PRIOR_DF


def test_intervals_of_simulated_sources_cover_the_next_source():
    """True effects differ by 0.5 between sources; how often is a further one inside?"""
    rng = np.random.default_rng(0)
    inside = {0.8: 0, 0.9: 0}
    runs = 2000
    for _ in range(runs):
        variances = rng.uniform(0.005, 0.05, 6)
        true = rng.normal(2.0, 0.5, 7)
        found = pool(list(true[:6] + rng.normal(0, np.sqrt(variances))), list(variances))
        sd = np.sqrt(found.next_variance)
        for level in inside:
            inside[level] += abs(true[6] - found.mean) < t.ppf(0.5 + level / 2, found.df) * sd
    for level, count in inside.items():
        assert count / runs == pytest.approx(level, abs=0.03)


@pytest.mark.parametrize(
    ("effects", "variances"), [([], []), ([1.0], [0.0]), ([1.0, 2.0], [1.0]), ([1.0], [np.nan])]
)
def test_what_cannot_be_pooled_is_refused(effects, variances):
    with pytest.raises(ValueError, match="effects and variances must be as many, at least one"):
        pool(effects, variances)
