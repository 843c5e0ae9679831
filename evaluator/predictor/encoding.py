"""Genes and training-free scores as the numbers a predictor is fitted on.

Two parts, which a regression penalises differently. The *trend*: one column per slot with three or
more numbers to choose from, the logarithm of its choice (of a choice that may be 0, the choice
itself), and one per training-free score; all in standard units. The *one-hot*: one column per
choice of any slot, for what the trend cannot follow and for slots of two choices, which have no
trend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from space.architectures.search_space import Choice, Parameter, SearchSpace

Floats = NDArray[np.float64]
Scores = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Encoding:
    """How genes int [n, slots] and scores (name -> [n]) become trend and one-hot columns.

    Attributes:
        space: its name.
        slots, scores: the slots of the genes, and the names of the scores.
        means, scales: of the scores, over the networks the predictor was fitted on; a score that
            is constant over them has scale 0, and its column is 0.
    """

    space: str
    slots: tuple[Parameter, ...]
    scores: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]

    @classmethod
    def of(cls, space: SearchSpace, scores: Scores) -> Encoding:
        """The encoding for a space and the scores of the networks that are fitted on.

        Raises:
            ValueError: a score is not finite.
        """
        means, scales = [], []
        for name, values in scores.items():
            if not np.isfinite(values).all():
                raise ValueError(f"every score must be finite; `{name}` holds NaN or infinity.")
            mean, scale = float(np.mean(values)), float(np.std(values))
            means.append(mean)
            scales.append(scale if scale > 1e-9 * max(1.0, abs(mean)) else 0.0)
        return cls(space.name, space.slots, tuple(scores), tuple(means), tuple(scales))

    @property
    def open_columns(self) -> list[int]:
        """Columns of the genes that may vary."""
        return [column for column, slot in enumerate(self.slots) if slot.open_choices > 1]

    def trend_values(self, column: int) -> Floats | None:
        """[choices]: what each open choice of a slot adds to its trend column."""
        slot = self.slots[column]
        numbers = _numbers(slot.choices[: slot.open_choices])
        if numbers is None or len(numbers) < 3:
            return None
        values = np.log(numbers) if numbers.min() > 0 else numbers
        return (values - values.mean()) / values.std()

    def check(self, genes: NDArray[np.integer], scores: Scores) -> None:
        """Check genes int [n, slots] and scores [n] against those that were fitted on.

        Raises:
            ValueError: a shape, a name of a score or a choice differs.
        """
        if genes.ndim != 2 or genes.shape[1] != len(self.slots):
            raise ValueError(f"genes must be [n, {len(self.slots)}]; got shape {genes.shape}.")
        if set(scores) != set(self.scores):
            raise ValueError(
                f"scores must be {', '.join(self.scores) or 'none'}; "
                f"got {', '.join(scores) or 'none'}."
            )
        for name in self.scores:
            if np.shape(scores[name]) != (len(genes),):
                raise ValueError(
                    f"score `{name}` must be [n] = [{len(genes)}]; "
                    f"got shape {np.shape(scores[name])}."
                )
        if not len(genes):
            return
        low, high = genes.min(axis=0), genes.max(axis=0)
        for column, slot in enumerate(self.slots):
            if low[column] < 0 or high[column] >= slot.open_choices:
                got = low[column] if low[column] < 0 else high[column]
                raise ValueError(
                    f"gene of `{slot.name}` must be in 0..{slot.open_choices - 1}, the choices "
                    f"that were open when the predictor was fitted; got {got}."
                )

    def trend(self, genes: NDArray[np.integer], scores: Scores) -> Floats:
        """[n, trends]: slots with a trend, then scores."""
        columns = [np.zeros((len(genes), 0))]
        for column in self.open_columns:
            values = self.trend_values(column)
            if values is not None:
                columns.append(values[genes[:, column]])
        return np.column_stack([*columns, *self.standard(scores)])

    @property
    def width(self) -> int:
        """The number of trend columns."""
        slots = sum(self.trend_values(column) is not None for column in self.open_columns)
        return slots + len(self.scores)

    def standard(self, scores: Scores) -> list[Floats]:
        """The scores in standard units, each [n]."""
        each = zip(self.scores, self.means, self.scales, strict=True)
        return [
            (np.asarray(scores[name], dtype=float) - mean) * (1 / scale if scale else 0.0)
            for name, mean, scale in each
        ]

    def hot(self, genes: NDArray[np.integer]) -> Floats:
        """[n, choices of all open slots]: 1 where the network makes that choice."""
        blocks = [
            (genes[:, column, None] == np.arange(self.slots[column].open_choices)).astype(float)
            for column in self.open_columns
        ]
        return np.concatenate([np.zeros((len(genes), 0)), *blocks], axis=1)

    def to_json(self) -> dict[str, Any]:
        """The encoding as JSON data."""
        return {
            "space": self.space,
            "slots": [
                [slot.name, [_text(c) for c in slot.choices], slot.open_choices, slot.breaks]
                for slot in self.slots
            ],
            "scores": [
                list(row) for row in zip(self.scores, self.means, self.scales, strict=True)
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Encoding:
        """The encoding that `to_json` wrote; errors of missing or odd values pass through."""
        slots = tuple(
            Parameter(str(name), tuple(_choice(c) for c in choices), int(count), str(breaks))
            for name, choices, count, breaks in data["slots"]
        )
        rows = data["scores"]
        return cls(
            str(data["space"]),
            slots,
            tuple(str(row[0]) for row in rows),
            tuple(float(row[1]) for row in rows),
            tuple(float(row[2]) for row in rows),
        )


def _numbers(choices: Sequence[Choice]) -> Floats | None:
    if any(isinstance(choice, str) for choice in choices):
        return None
    return np.array([float(choice) for choice in choices])


def _text(choice: Choice) -> str | int | list[int]:
    if isinstance(choice, Fraction):
        return [choice.numerator, choice.denominator]
    return choice if isinstance(choice, str) else int(choice)


def _choice(data: Any) -> Choice:
    return Fraction(*data) if isinstance(data, list) else data
