"""Which candidate is worth the next evaluation?"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr

from search.sampling.costs import Floats

DRAWS = 64  # of the posterior of several objectives
TILT = 0.05  # what the sum adds to the least objective, so that no gain is worth nothing
FAR = -6.0  # deviations below the best, from which on the expected improvement is a series


def log_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """[n]: the logarithm of the expected improvement over `best`, larger being better.

    Jones et al., "Efficient global optimization of expensive black-box functions", 1998,
    equation 15. The logarithm tells candidates apart whose improvement is next to nothing.
    """
    z = (mean - best) / deviation
    near = np.maximum(z, FAR)
    density = np.exp(-0.5 * np.square(near)) / np.sqrt(2 * np.pi)
    found = np.log(density + near * np.exp(log_ndtr(near)))
    # density / z^2 is the first term of the series; it meets the sum at FAR.
    far = np.minimum(z, FAR)
    series = -0.5 * (np.square(far) - FAR**2) - 2 * np.log(far / FAR)
    return np.asarray(np.log(deviation) + found + series)


def log_improvement_of_several(
    means: Floats, deviations: Floats, labelled: Floats, rng: np.random.Generator
) -> Floats:
    """[n]: the same of several objectives, for one random direction of the front.

    A direction weighs the objectives; the worst weighed one counts (Knowles, "ParEGO", 2006,
    section II). Its improvement is averaged over draws of each objective's posterior.

    Args:
        means, deviations: [objectives, n].
        labelled: means of the labelled candidates, [objectives, labels].
    """
    low = labelled.min(axis=1)[:, None]
    span = np.ptp(labelled, axis=1)[:, None]
    span[span == 0] = 1.0
    weights = rng.dirichlet(np.ones(len(means)))[:, None]

    def worth(values: Floats) -> Floats:
        weighed = weights * ((values - low) / span - 1)
        return np.asarray(weighed.min(axis=0) + TILT * weighed.sum(axis=0))

    best = float(worth(labelled).max())
    gain = np.zeros(means.shape[1])
    for draw in rng.standard_normal((DRAWS, len(means), 1)):
        gain += np.maximum(worth(means + deviations * draw) - best, 0)
    # Where no draw gains, what is nearest to a gain counts, below every gain.
    hope = worth(means + deviations) - best
    return np.where(gain > 0, np.log(np.maximum(gain, 1e-300) / DRAWS), -700 + np.minimum(hope, 0))


def log_feasible(mean: Floats, deviation: Floats) -> Floats:
    """[n]: the logarithm of the probability that a constraint is <= 0."""
    return np.asarray(log_ndtr(-mean / deviation))
