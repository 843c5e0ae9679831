"""Genes and training-free scores as the columns that a predictor is fitted on.

A regression penalises two parts differently. The *trend*: one column per parameter with three or more
numbers to choose from, the logarithm of its choice (of a choice that may be 0, the choice itself),
and one per training-free score; all in standard units. The *one-hot*: one column per choice of any
parameter, for what the trend cannot follow, and for parameters of two choices, which have no trend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.score.closed_form import Floats
from space.architectures.search_space import Choice, Parameter, SearchSpace

Scores = Mapping[str, Floats]


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
        units = {}
        for name, values in scores.items():
            if not np.isfinite(values).all():
                raise ValueError(f"every score must be finite; `{name}` holds NaN or infinity.")
            mean, scale = float(np.mean(values)), float(np.std(values))
            units[name] = mean, scale if scale > 1e-9 * max(1.0, abs(mean)) else 0.0
        return cls(space.name, space.parameters, units)

    @property
    def open_columns(self) -> list[int]:
        """Columns of the genes that may vary."""
        return [
            column
            for column, parameter in enumerate(self.parameters)
            if parameter.active_choices > 1
        ]

    def trend_values(self, column: int) -> Floats | None:
        """[choices]: the trend of each active choice of a parameter; None for a parameter without a trend."""
        parameter = self.parameters[column]
        choices = parameter.choices[: parameter.active_choices]
        if len(choices) < 3 or any(isinstance(choice, str) for choice in choices):
            return None
        numbers = np.array([float(choice) for choice in choices])
        values = np.log(numbers) if numbers.min() > 0 else numbers
        return (values - values.mean()) / values.std()

    def check(self, genes: NDArray[np.integer], scores: Scores) -> None:
        """ValueError if genes int [n, parameters] or scores [n] do not fit this encoding."""
        if genes.ndim != 2 or genes.shape[1] != len(self.parameters):
            raise ValueError(
                f"genes must be [n, {len(self.parameters)}]; got shape {genes.shape}."
            )
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
        sizes = np.array(
            [parameter.active_choices for parameter in self.parameters], dtype=genes.dtype
        )
        rows, columns = np.nonzero((genes < 0) | (genes >= sizes))
        if len(rows):
            parameter = self.parameters[columns[0]]
            raise ValueError(
                f"gene of `{parameter.name}` must be in 0..{parameter.active_choices - 1}, the choices that "
                f"were open when the predictor was fitted; got {genes[rows[0], columns[0]]}."
            )

    def columns(self, genes: NDArray[np.integer], scores: Scores) -> tuple[Floats, Floats]:
        """The trend and the one-hot of genes int [n, parameters] and scores [n]."""
        return self.trend(genes, scores), self.hot(genes)

    def trend(self, genes: NDArray[np.integer], scores: Scores) -> Floats:
        """[n, trends]: parameters with a trend, then scores."""
        columns = [np.zeros((len(genes), 0))]
        for column in self.open_columns:
            values = self.trend_values(column)
            if values is not None:
                columns.append(values[genes[:, column]])
        return np.column_stack([*columns, *self.standard(scores)])

    def standard(self, scores: Scores) -> list[Floats]:
        """The scores in standard units, each [n]."""
        return [
            (scores[name] - mean) * (1 / scale if scale else 0.0)
            for name, (mean, scale) in self.scores.items()
        ]

    def hot(self, genes: NDArray[np.integer]) -> Floats:
        """[n, choices of all active parameters]: 1 where the network makes that choice."""
        hot = [np.eye(self.parameters[c].active_choices)[genes[:, c]] for c in self.open_columns]
        return np.concatenate([np.zeros((len(genes), 0)), *hot], axis=1)

    def to_json(self) -> dict[str, Any]:
        """The encoding as JSON data."""
        return {
            "space": self.space,
            "slots": [
                [
                    parameter.name,
                    [_text(c) for c in parameter.choices],
                    parameter.active_choices,
                    parameter.breaks,
                ]
                for parameter in self.parameters
            ],
            "scores": [[name, *units] for name, units in self.scores.items()],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Encoding:
        """The encoding that `to_json` wrote; errors of missing or odd values pass through."""
        parameters = tuple(
            Parameter(str(name), tuple(_choice(c) for c in choices), int(count), str(breaks))
            for name, choices, count, breaks in data["slots"]
        )
        scores = {str(name): (float(mean), float(scale)) for name, mean, scale in data["scores"]}
        return cls(str(data["space"]), parameters, scores)


def _text(choice: Choice) -> str | int | list[int]:
    if isinstance(choice, Fraction):
        return [choice.numerator, choice.denominator]
    return choice if isinstance(choice, str) else int(choice)


def _choice(data: Any) -> Choice:
    return Fraction(*data) if isinstance(data, list) else data
