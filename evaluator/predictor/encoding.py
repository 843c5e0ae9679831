"""Genes and training-free scores as the columns that a predictor is fitted on.

A regression penalises two parts differently. The *trend*: one column per parameter with three or
more numbers to choose from, the logarithm of its choice (of a choice that may be 0, the choice
itself), and one per training-free score; all in standard units. The *one-hot*: one column per
choice of any parameter, for what the trend cannot follow, and for parameters of two choices, which
have no trend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.predictor.columns import Columns
from evaluator.score.closed_form import Floats
from space.architectures.search_space import Parameter, SearchSpace
from space.common.schema import Anything, Either, Integer, Items, Number, Record, Spec, Text, check

Scores = Mapping[str, Floats]
SCORE = Number(-1e100, 1e100)  # whose squares are finite
_CHOICE = Either(
    (Integer(-(2**31), 2**31), Text(), Items(Integer(-(2**31), 2**31), least=2, most=2))
)
_PARAMETER: dict[str, Spec] = {
    "name": Text(),
    "choices": Items(_CHOICE, least=1, most=10_000),
    "active choices": Integer(1, 10_000),
    "breaks": Text(),
}
_UNITS: dict[str, Spec] = {"name": Text(), "mean": SCORE, "scale": SCORE}
# A parameter and a score are lists of these values.
STORED_ENCODING: dict[str, Spec] = {
    "space": Text(),
    "slots": Items(Items(Anything(), least=4, most=4), most=1000),
    "scores": Items(Items(Anything(), least=3, most=3), most=1000),
}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How genes int [n, parameters] and scores (name -> [n]) become trend and one-hot columns.

    Attributes:
        space: its name.
        parameters: of the genes.
        scores: name -> mean and scale of a score over the networks that are fitted on; the scale
            of a constant one is 0, and so is its column.
    """

    space: str
    parameters: tuple[Parameter, ...]
    scores: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, space: SearchSpace, scores: Scores) -> Encoding:
        """The encoding of a space, with the scores of the networks that are fitted on.

        Raises:
            ValueError: a score is not finite.
        """
        return cls(space.name, space.parameters, _units(scores))

    @property
    def trends(self) -> dict[int, Floats]:
        """Column of the genes -> [choices]: the trend of each active choice of its parameter."""
        found = {}
        for column, parameter in enumerate(self.parameters):
            choices = parameter.choices[: parameter.active_choices]
            if len(choices) > 2 and not any(isinstance(choice, str) for choice in choices):
                numbers = np.array([float(choice) for choice in choices])
                values = np.log(numbers) if numbers.min() > 0 else numbers
                found[column] = (values - values.mean()) / values.std()
        return found

    def check(self, genes: NDArray[np.integer], scores: Scores) -> None:
        """ValueError if genes int [n, parameters] or scores [n] do not fit this encoding."""
        sizes = [parameter.active_choices for parameter in self.parameters]
        if genes.ndim != 2 or genes.shape[1] != len(sizes):
            raise ValueError(f"genes must be [n, {len(sizes)}]; got shape {genes.shape}.")
        if set(scores) != set(self.scores):
            raise ValueError(
                f"scores must be {', '.join(self.scores) or 'none'}; "
                f"got {', '.join(scores) or 'none'}."
            )
        for name, values in scores.items():
            if values.shape != (len(genes),):
                raise ValueError(
                    f"score `{name}` must be [n] = [{len(genes)}]; got shape {values.shape}."
                )
        wrong = np.argwhere((genes < 0) | (genes >= np.array(sizes)))
        if len(wrong):
            row, column = wrong[0]
            raise ValueError(
                f"gene of `{self.parameters[column].name}` must be in 0..{sizes[column] - 1}, the "
                f"choices that were active in the fit; got {genes[row, column]}."
            )

    @property
    def trend_names(self) -> list[str]:
        """Of each trend column, its parameter or its score."""
        return [*(self.parameters[column].name for column in self.trends), *self.scores]

    def columns(self, genes: NDArray[np.integer], scores: Scores) -> Columns:
        """The trend and the one-hot of genes int [n, parameters] and scores [n]."""
        return Columns(self.trend(genes, scores), self.hot(genes))

    def trend(self, genes: NDArray[np.integer], scores: Scores) -> Floats:
        """[n, trends]: parameters with a trend, then scores."""
        parameters = [values[genes[:, column]] for column, values in self.trends.items()]
        return np.column_stack([np.zeros((len(genes), 0)), *parameters, *self.standard(scores)])

    def standard(self, scores: Scores) -> list[Floats]:
        """The scores in standard units, each [n]."""
        return [
            (scores[name] - mean) * (1 / scale if scale else 0.0)
            for name, (mean, scale) in self.scores.items()
        ]

    def hot(self, genes: NDArray[np.integer]) -> Floats:
        """[n, choices of all active parameters]: 1 where the network makes that choice."""
        sizes = [parameter.active_choices for parameter in self.parameters]
        hot = [np.eye(n)[column] for n, column in zip(sizes, genes.T, strict=True) if n > 1]
        return np.column_stack([np.zeros((len(genes), 0)), *hot])

    def to_json(self) -> dict[str, Any]:
        """The encoding as JSON data."""
        parameters = []
        for parameter in self.parameters:
            name, choices, active_choices, breaks = astuple(parameter)
            choices = [c.as_integer_ratio() if isinstance(c, Fraction) else c for c in choices]
            parameters.append([name, choices, active_choices, breaks])
        scores = [[name, *units] for name, units in self.scores.items()]
        return {"space": self.space, "slots": parameters, "scores": scores}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Encoding:
        """The encoding that `to_json` wrote, of which `STORED_ENCODING` holds.

        Raises:
            ValueError: a parameter or a score is something else.
        """
        parameters = []
        for index, slot in enumerate(data["slots"]):
            values = dict(zip(_PARAMETER, slot, strict=True))
            name, listed, active_choices, breaks = check(
                values, Record(_PARAMETER), source=f"`slots[{index}]`"
            ).values()
            if any(isinstance(c, list) and not c[1] for c in listed):
                raise ValueError(f"`slots[{index}]` must have choices whose divisor is not 0")
            choices = tuple(Fraction(*c) if isinstance(c, list) else c for c in listed)
            if active_choices > len(choices) or len({str(c) for c in choices}) < len(choices):
                raise ValueError(
                    f"`slots[{index}]` must have different choices, as many as are active at least"
                )
            parameters.append(Parameter(name, choices, active_choices, breaks))
        scores = {}
        for index, units in enumerate(data["scores"]):
            check(
                dict(zip(_UNITS, units, strict=True)), Record(_UNITS), source=f"`scores[{index}]`"
            )
            scores[units[0]] = (units[1], units[2])
        return cls(data["space"], tuple(parameters), scores)

    def check_units(self, scores: Scores) -> None:
        """ValueError if the mean or the scale of a score is not that of `scores`, [n] of the
        networks that were fitted on."""
        for name, (mean, scale) in _units(scores).items():
            stored = self.scores[name]
            if not np.allclose(stored, (mean, scale), rtol=1e-6, atol=1e-9 * max(1.0, abs(mean))):
                raise ValueError(
                    f"mean and scale of `{name}` must be {mean:g} and {scale:g}, as of the "
                    f"labels; got {stored[0]:g} and {stored[1]:g}"
                )


def _units(scores: Scores) -> dict[str, tuple[float, float]]:
    units = {}
    for name, values in scores.items():
        if not np.isfinite(values).all():
            raise ValueError(f"every score must be finite; `{name}` holds NaN or infinity.")
        mean, scale = float(np.mean(values)), float(np.std(values))
        units[name] = mean, scale if scale > 1e-9 * max(1.0, abs(mean)) else 0.0
    return units
