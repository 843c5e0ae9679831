"""The estimated top-1 of the networks of a result, and which axes make it uncertain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from search.problem.estimate_score import EstimateScore
from search.problem.problem import Problem

NAMED_AXES = 3
NAMED_POINTS = 0.05  # an axis that adds less is not named


@dataclass(frozen=True, slots=True, kw_only=True)
class RowEstimate:
    """The estimate of a network's top-1 on ImageNet, in points.

    Attributes:
        top1, low, high: in %, with its interval.
        difference, difference_low, difference_high, difference_sd: to the baseline of the search.
        by_axis: parameter -> what it adds over ShuffleNet v2 of the same FLOPs, and the standard
            deviation of that.
        level: of the intervals.
        recipe: of the training.
    """

    top1: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float
    difference_sd: float
    by_axis: Mapping[str, tuple[float, float]]
    level: float
    recipe: str

    @property
    def top1_text(self) -> str:
        """Top-1 and half of its interval."""
        return f"{self.top1:.1f} +-{(self.high - self.low) / 2:.1f}"

    @property
    def difference_text(self) -> str:
        """The difference and half of its interval."""
        half = (self.difference_high - self.difference_low) / 2
        return f"{self.difference:+.1f} +-{half:.1f}"

    @property
    def uncertain_text(self) -> str:
        """The axes that are least certain, with their standard deviations; "" for none."""
        ranked = sorted(self.by_axis.items(), key=lambda item: -item[1][1])[:NAMED_AXES]
        named = [f"{axis} {sd:.1f}" for axis, (_, sd) in ranked if sd >= NAMED_POINTS]
        return f"uncertain by, in points: {', '.join(named)}" if named else ""

    def record(self) -> dict[str, Any]:
        """For JSON."""
        axes = {axis: {"points": points, "sd": sd} for axis, (points, sd) in self.by_axis.items()}
        return {**asdict(self), "by_axis": axes}


def row_estimates(
    problem: Problem, genes: Sequence[Sequence[int]]
) -> list[RowEstimate] | list[None]:
    """The estimates of networks of a problem; None for each where the score is none."""
    score = problem.score
    if not isinstance(score, EstimateScore):
        return [None] * len(genes)
    found = score.estimates(np.array(genes, dtype=np.int16))
    return [
        RowEstimate(
            top1=float(found.mean[row]),
            low=float(found.low[row]),
            high=float(found.high[row]),
            difference=float(found.difference[row]),
            difference_low=float(found.difference_low[row]),
            difference_high=float(found.difference_high[row]),
            difference_sd=float(found.difference_sd[row]),
            by_axis={a: (float(x[row]), float(sd[row])) for a, (x, sd) in found.by_axis.items()},
            level=found.level,
            recipe=score.recipe,
        )
        for row in range(len(genes))
    ]


def estimate_record(problem: Problem) -> dict[str, Any] | None:
    """What the estimates of a problem are, for JSON; None without."""
    score = problem.score
    if not isinstance(score, EstimateScore):
        return None
    model = score.model
    return {
        "of": "top-1 on ImageNet in %, not measured",
        "recipe": score.recipe,
        "optimism": score.optimism,
        "baseline": model.space.text(model.space.architecture(score.base[0])),
    }


def estimate_line(estimate: RowEstimate, base: str | None) -> str:
    """What the columns of a table are."""
    beside = "its baseline, the smallest ShuffleNet v2 of the paper" if base is None else base
    return (
        f"top-1 (est.): estimate of ImageNet top-1 in % by the recipe {estimate.recipe}, and vs "
        f"{beside}, with {estimate.level:.0%} intervals; nothing was trained"
    )
