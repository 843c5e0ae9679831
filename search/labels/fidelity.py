"""Do labels rank networks as longer trainings would? Two signs of it, each with an interval.

A label of a short training ranks what learns fast. So labels are compared with themselves at half
of the training, and at equal FLOPs with what public sources of longer trainings say
(`evaluator.predictor.prior`). Equal FLOPs: the rank correlation with that of the FLOPs taken out
(partial correlation; Kendall, "Partial rank correlation", Biometrika 32, 1942). Intervals are
Fisher's, with the variance 1.06 / (n - 3) of a rank correlation (Fieller, Hartley and Pearson,
"Tests for rank correlation coefficients", Biometrika 44, 1957).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from search.problem.problem import Floats
from space.common.stats import spearman

NINE_IN_TEN = 1.6449  # deviations either side that hold 90 % of a normal distribution
FIELLER = 1.06
LEAST = 6  # networks for an interval
STEADY = 0.5  # of the variance of the ranks at the end, what half of the training must tell


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """A rank correlation of n networks, and its 90 % interval."""

    rho: float
    low: float
    high: float
    networks: int

    def __str__(self) -> str:
        return f"{self.rho:.2f} (90 %: {self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True, slots=True)
class ShorterTraining:
    """Accuracies in % of the same networks in a shorter and a longer training, each [n], and
    which trainings these are."""

    shorter: Floats
    longer: Floats
    which: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """What speaks for and against labels.

    Attributes:
        sources: how many public sources they are compared with; 0: they cannot be.
        with_sources: rank correlation with these at equal FLOPs.
        with_longer: of a shorter training with a longer one; `which` says of which.
    """

    sources: int
    with_sources: RankAgreement | None
    with_longer: RankAgreement | None
    which: str

    @property
    def backward(self) -> bool:
        """Whether the labels rank against the sources."""
        return self.with_sources is not None and self.with_sources.high < 0

    @property
    def unsteady(self) -> bool:
        """Whether the ranks still change much with the training."""
        return self.with_longer is not None and (
            self.with_longer.rho < 0 or self.with_longer.rho**2 < STEADY
        )

    def lines(self) -> list[str]:
        """For people."""
        return [*self._found(), *self._warnings()]

    def _found(self) -> list[str]:
        found = []
        if self.with_sources is not None:
            found.append(
                f"labels against what {self.sources} public sources say, at equal FLOPs: rank "
                f"correlation {self.with_sources}"
            )
        elif self.sources:
            found.append(
                f"labels against what {self.sources} public sources say: not known, the labels "
                "are too few or too equal"
            )
        if self.with_longer is not None:
            found.append(f"labels {self.which}: rank correlation {self.with_longer}")
        return found

    def _warnings(self) -> list[str]:
        found = []
        if self.backward:
            found.append(
                f"warning: these labels rank networks against what {self.sources} public sources "
                f"of longer trainings say: rho {self.with_sources}; train longer, or use "
                "--labels 0. The predictor follows them all the same: keep them only if your "
                "images reward other networks"
            )
        if self.unsteady:
            found.append(
                f"warning: the ranks still change with the training ({self.which}: rho "
                f"{self.with_longer}); train longer"
            )
        return found

    def record(self) -> dict[str, Any]:
        """For JSON."""

        def of(agreement: RankAgreement | None) -> dict[str, Any] | None:
            return None if agreement is None else asdict(agreement)

        return {
            "public_sources": self.sources,
            "with_public_sources_at_equal_flops": of(self.with_sources),
            "shorter_with_longer_training": of(self.with_longer),
            "shorter_and_longer": self.which or None,
            "ranks_backward": self.backward,
            "ranks_still_change": self.unsteady,
        }


def fidelity(
    accuracy: Floats,
    flops: Floats,
    expected: Floats | None,
    sources: int,
    trainings: ShorterTraining | None,
) -> Fidelity:
    """The fidelity of labels.

    Args:
        accuracy: in %, [n].
        flops: [n].
        expected: the score by the public sources, [n]; None: these do not know the networks.
        sources: how many there are.
        trainings: a shorter and a longer training of the same networks, if there are.
    """
    with_sources = with_longer = None
    if expected is not None:
        with_sources = _agreement(
            partial_rank_correlation(accuracy, expected, flops), len(accuracy), 1
        )
    if trainings is not None:
        rho = spearman(trainings.shorter, trainings.longer)
        with_longer = _agreement(rho, len(trainings.shorter), 0)
    return Fidelity(
        sources=0 if expected is None else sources,
        with_sources=with_sources,
        with_longer=with_longer,
        which="" if with_longer is None or trainings is None else trainings.which,
    )


def partial_rank_correlation(a: Floats, b: Floats, given: Floats) -> float | None:
    """Spearman's correlation of two columns [n] with a third taken out of both; None where it is
    not defined, as where one follows from it."""
    both, first, second = spearman(a, b), spearman(a, given), spearman(b, given)
    if both is None or first is None or second is None:
        return None
    rest = (1 - first**2) * (1 - second**2)
    if rest < 1e-12:
        return None
    return float(np.clip((both - first * second) / np.sqrt(rest), -1, 1))


def _agreement(rho: float | None, networks: int, given: int) -> RankAgreement | None:
    """With its interval; `given`: columns that were taken out."""
    free = networks - 3 - given
    if rho is None or networks < LEAST or free < 1:
        return None
    centre = np.arctanh(np.clip(rho, -1 + 1e-9, 1 - 1e-9))
    reach = NINE_IN_TEN * np.sqrt(FIELLER / free)
    low, high = np.tanh([centre - reach, centre + reach])
    return RankAgreement(rho, float(low), float(high), networks)


def halves_of(rows: Sequence[Mapping[str, Any]]) -> ShorterTraining | None:
    """Half of each training against its end, of the trainings that were not stopped; None if they
    have no two epochs."""
    curves = [row["curve"] for row in rows if not row["pruned"] and not row["diverged"]]
    epochs = max(map(len, curves), default=0)
    full = [curve for curve in curves if len(curve) == epochs]
    if epochs < 2:
        return None
    half = epochs // 2
    return ShorterTraining(
        np.array([curve[half - 1] for curve in full]),
        np.array([curve[-1] for curve in full]),
        f"after {half} of {epochs} epochs against the end",
    )
