"""What is known of accuracies before any label: the pooled effects of public sources, as the prior
of a linear model.

Accuracy is, but for its unit, coefficients . features of a network, and the coefficients are not
sure: their covariance is factors factors' + diagonal, that of the effects in a source that has not
been seen (`evaluator.estimate`). Features are of the genes alone, so images of another size and
other classes have the same prior: what it says is a ranking, and labels tell the unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluator.estimate.axes import FACTORS, NAMES, axis_model, feature_tables, parameter_of
from evaluator.estimate.fit import AxisEffects
from evaluator.estimate.sources import AxisSource
from evaluator.predictor.columns import PriorColumns
from evaluator.score.closed_form import Floats
from space.architectures.search_space import Genes
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.schema import Items, Number, Record, Text

_ROW = Items(Number(-1e9, 1e9), most=1000)
STORED_PRIOR = Record(
    {
        "names": Items(Text(), least=1, most=1000),
        "covers": Items(Text(), most=1000),
        "coefficients": _ROW,
        "factors": Items(_ROW, most=1000),
        "diagonal": Items(Number(0, 1e9), most=1000),
    },
    required=("names", "covers", "coefficients", "factors", "diagonal"),
)


@dataclass(frozen=True, slots=True, eq=False)
class LabelPrior:
    """The prior of the effects of some features.

    Attributes:
        names: of the features.
        covers: the parameters and scores of a predictor that they are functions of.
        coefficients: [features], the mean of their effects.
        factors: [features, factors], what a standard deviation of a common cause changes.
        diagonal: [features], the variance of each effect by itself.
    """

    names: tuple[str, ...]
    covers: tuple[str, ...]
    coefficients: Floats
    factors: Floats
    diagonal: Floats

    def score(self, features: Floats) -> Floats:
        """What features [n, features] are worth, [n], higher is better; without unit."""
        return np.asarray(features @ self.coefficients)

    def columns(self, features: Floats, labelled: Floats, trends: Sequence[str]) -> PriorColumns:
        """The prior of networks in standard units of the labelled ones, whose scores have a mean
        of 0 and a deviation of 1. All is 0 if their scores are equal.

        Args:
            features: of n networks, [n, features].
            labelled: of the labelled ones, [labels, features].
            trends: names of the trend columns.
        """
        found = (features - labelled.mean(axis=0)) @ self.directions(labelled)
        covered = np.array([name in self.covers for name in trends], dtype=bool)
        return PriorColumns(found[:, 0], found[:, 1:], covered)

    def directions(self, labelled: Floats) -> Floats:
        """[features, 1 + roots]: what a unit of each feature adds to mean and root."""
        score = self.score(labelled)
        scale = float(score.std())
        if not scale > 1e-9 * max(1.0, float(np.abs(score).max())):
            return np.zeros((len(self.names), 1 + self.factors.shape[1] + len(self.names)))
        root = np.diag(np.sqrt(self.diagonal))
        return np.column_stack([self.coefficients, self.factors, root]) / scale

    def check(self, features: Floats, n: int) -> None:
        """ValueError if features are not finite, or not [n, features]."""
        if features.shape != (n, len(self.names)) or not np.isfinite(features).all():
            raise ValueError(
                f"features of the prior must be finite, [{n}, {len(self.names)}]; "
                f"got shape {list(features.shape)}"
            )

    def to_json(self) -> dict[str, Any]:
        """The prior as JSON data."""
        return {
            name: list(value) if isinstance(value, tuple) else value.tolist()
            for name, value in ((name, getattr(self, name)) for name in self.__slots__)
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LabelPrior:
        """The prior that `to_json` wrote, of which `STORED_PRIOR` holds.

        Raises:
            ValueError: its parts do not fit each other.
        """
        names = tuple(data["names"])
        factors = [list(row) for row in data["factors"]]
        sizes = {len(names), len(data["coefficients"]), len(factors), len(data["diagonal"])}
        if len(sizes) > 1 or len({len(row) for row in factors}) > 1:
            raise ValueError("`prior` must have as many of each part as names")
        arrays = (np.array(data[n], dtype=float) for n in ("coefficients", "factors", "diagonal"))
        return cls(names, tuple(data["covers"]), *arrays)


def prior_of_space(space: ShuffleNetV2Space, effects: AxisEffects) -> LabelPrior | None:
    """The prior of a space, of any input and classes; None if it has an axis open that the effects
    do not know, as groups: with no word on what it costs, the prior would take it for free."""
    if (space.active_sizes[space.variant_columns] > 1).any():
        return None
    axes = axis_model(space, effects)
    covers = tuple(dict.fromkeys(map(parameter_of, NAMES)))
    return LabelPrior(NAMES, covers, axes.coefficients, axes.factors, axes.diagonal)


def prior_features(space: ShuffleNetV2Space, genes: Genes) -> Floats:
    """The features of `prior_of_space` of genes [n, parameters], [n, features]."""
    return np.column_stack([values[genes[:, column]] for column, values in feature_tables(space)])


def prior_of_source(source: AxisSource, effects: AxisEffects) -> tuple[LabelPrior, Floats]:
    """The prior of a public source by effects that were fitted without it, and the features of its
    networks [n, features]."""
    levels, scale = source.levels, effects.scale.mean
    coefficients, weights = effects.coefficients(levels), effects.weights(levels)
    axes = list(source.axes)
    pooled = np.concatenate([coefficients[axis] for axis in axes])
    turns = np.concatenate([effects.turns(levels)] * len(axes))
    changes = {
        "scale": pooled,
        "growth": scale * pooled * turns,
        **{
            name: scale * np.concatenate([weights * (axis == name) for axis in axes])
            for name in ("depth", "kernel")
        },
    }
    factors = [changes[name] * np.sqrt(getattr(effects, name).next_variance) for name in FACTORS]
    names = tuple(f"{axis}{group}" for axis in axes for group in range(1, len(levels) + 1))
    diagonal = np.square(effects.scatter * scale * pooled)
    features = np.concatenate([source.axes[axis] for axis in axes], axis=1)
    prior = LabelPrior(names, names, scale * pooled, np.column_stack(factors), diagonal)
    return prior, features
