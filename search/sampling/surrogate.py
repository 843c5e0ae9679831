"""What a Gaussian process expects of candidates, from the labels that are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluator.predictor.columns import Columns, PriorColumns
from evaluator.predictor.gaussian_process import GaussianProcess
from search.sampling.costs import Floats

Constants = tuple[float, ...]
POWERS = np.linspace(-1, 3, 81)  # 1 bends nothing


@dataclass(frozen=True, slots=True, eq=False)
class Surrogate:
    """A fitted process, of values that have been made comparable."""

    process: GaussianProcess

    @classmethod
    def fit(cls, constants: Constants, columns: Columns, y: Floats, waiting: Columns) -> Surrogate:
        """Fit columns of n candidates to `y` [n].

        Args:
            waiting: candidates that are being evaluated. The process believes its own mean of them
                (Ginsbourger et al., "Kriging is well-suited to parallelize optimization", 2010,
                section 4.2), so that it expects nothing new beside them.
        """
        process = GaussianProcess.fit(constants, columns, y)
        if len(waiting):
            believed = np.concatenate([y, process.mean(waiting)])
            process = GaussianProcess.fit(constants, stacked(columns, waiting), believed)
        return cls(process)

    def posterior(self, columns: Columns) -> tuple[Floats, Floats]:
        """Mean and deviation [n] of the values without noise."""
        mean, deviation = self.process.mean_and_deviation(columns)
        noise = np.square(self.process.scale) * np.exp(self.process.constants[4])
        return mean, np.sqrt(np.maximum(np.square(deviation) - noise, 1e-12))


def choose_constants(columns: Columns, y: Floats) -> Constants:
    """The constants of highest posterior density, which are the same for the same labels."""
    return GaussianProcess.choose(columns, y, np.random.default_rng(0))


def comparable(values: Floats) -> Floats:
    """Values [n] in standard units, bent to be as normal as a power can make them.

    The power is that of highest likelihood (Yeo and Johnson, "A new family of power
    transformations", Biometrika 2000). An infinite value counts as the worst or best finite one.
    """
    finite = np.isfinite(values)
    if not finite.any() or np.ptp(values[finite]) <= 1e-12 * np.abs(values[finite]).max():
        return np.zeros(len(values))
    # Squares of what is larger are not finite.
    clipped = np.clip(values, max(values[finite].min(), -1e100), min(values[finite].max(), 1e100))
    standard = _standard(clipped)
    bent = [_power(standard, power) for power in POWERS]
    # Equation 8 of the paper: the likelihood of a normal distribution, and the Jacobian.
    jacobian = (np.sign(standard) * np.log1p(np.abs(standard))).sum()
    likelihood = [
        (power - 1) * jacobian - len(values) / 2 * np.log(max(each.var(), 1e-300))
        for power, each in zip(POWERS, bent, strict=True)
    ]
    return _standard(bent[int(np.argmax(likelihood))])


def signed(values: Floats) -> Floats:
    """Values of a constraint [n], feasible when <= 0: 0 stays 0, and large ones are damped."""
    sized = np.abs(values[np.isfinite(values) & (values != 0)])
    scale = float(np.median(sized)) if len(sized) else 1.0
    return np.arcsinh(np.clip(values / scale, -1e6, 1e6))


def stacked(first: Columns, second: Columns) -> Columns:
    """The rows of both, priors too."""
    prior = None
    if first.prior is not None and second.prior is not None:
        mean = np.concatenate([first.prior.mean, second.prior.mean])
        root = np.concatenate([first.prior.root, second.prior.root])
        prior = PriorColumns(mean, root, first.prior.covered)
    trend = np.concatenate([first.trend, second.trend])
    return Columns(trend, np.concatenate([first.hot, second.hot]), prior)


def _standard(values: Floats) -> Floats:
    return np.asarray((values - values.mean()) / (values.std() or 1.0))


def _power(values: Floats, power: float) -> Floats:
    """Equation 7 of Yeo and Johnson."""
    sized = np.log1p(np.abs(values))
    above = sized if abs(power) < 1e-9 else np.expm1(power * sized) / power
    rest = 2 - power
    below = sized if abs(rest) < 1e-9 else np.expm1(rest * sized) / rest
    return np.where(values >= 0, above, -below)
