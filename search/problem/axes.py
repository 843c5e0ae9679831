"""The numbers a search chooses, and the genes they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from space.architectures.search_space import Genes
from space.architectures.shufflenet_v2 import ShuffleNetV2Space


@dataclass(frozen=True, slots=True)
class Axis:
    """A number the search chooses: 0 .. size - 1."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Axes:
    """What the search turns. `genes` maps choices int [n, axes] to genes int16 [n, slots]."""

    axes: tuple[Axis, ...]
    genes: Callable[[NDArray[np.integer]], Genes]

    @property
    def sizes(self) -> NDArray[np.int64]:
        return np.array([axis.size for axis in self.axes])


def open_axes(
    space: ShuffleNetV2Space, allowed: Mapping[str, Sequence[int]] | None = None
) -> Axes:
    """Every slot of the space with more than one choice: of the open ones, or of those genes that
    `allowed` names for a slot."""
    choices = [
        np.array((allowed or {}).get(slot.name, range(slot.open_choices)), dtype=np.int16)
        for slot in space.slots
    ]
    columns = [column for column, each in enumerate(choices) if len(each) > 1]
    first = np.array([each[0] for each in choices], dtype=np.int16)

    def genes(chosen: NDArray[np.integer]) -> Genes:
        rows = np.tile(first, (len(chosen), 1))
        for place, column in enumerate(columns):
            rows[:, column] = choices[column][chosen[:, place]]
        return rows

    axes = (Axis(space.slots[column].name, len(choices[column])) for column in columns)
    return Axes(tuple(axes), genes)
