"""Optuna's integer and categorical distributions as rows of choice indices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    IntDistribution,
)

from space.common.text import shorten

if TYPE_CHECKING:
    import pandas as pd

Rows = NDArray[np.int64]
"""Of n candidates, the index of the choice on each axis, int64 [n, axes]."""


@dataclass(frozen=True, slots=True)
class GridAxis:
    """One parameter. Its choice `i` is `low + step * i`, or `choices[i]` of a categorical."""

    name: str
    distribution: BaseDistribution
    size: int

    @property
    def choices(self) -> Sequence[Any]:
        """Every value, in the order of the indices."""
        found = self.distribution
        if isinstance(found, IntDistribution):
            return range(found.low, found.low + found.step * self.size, found.step)
        return tuple(found.choices)

    def index(self, value: Any) -> int | None:
        """The index of a value; None if it is none of the choices."""
        found = self.distribution
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(found, IntDistribution):
            if not isinstance(value, int | float) or not math.isfinite(value):
                return None
            index, rest = divmod(value - found.low, found.step)
            return int(index) if rest == 0 and 0 <= index < self.size else None
        try:
            return int(found.to_internal_repr(value))
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class CandidateGrid:
    """The axes of a discrete space."""

    axes: tuple[GridAxis, ...]

    @classmethod
    def of(cls, space: Mapping[str, BaseDistribution]) -> CandidateGrid:
        """The grid of named distributions.

        Raises:
            ValueError: the space is empty, or a distribution is of floats.
            TypeError: a value is no distribution of Optuna.
        """
        if not space:
            raise ValueError("`space` must have at least one parameter; got none")
        return cls(tuple(_axis(name, each) for name, each in space.items()))

    @property
    def names(self) -> list[str]:
        return [axis.name for axis in self.axes]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """[axes]: how many choices each has."""
        return np.array([axis.size for axis in self.axes], dtype=np.int64)

    @property
    def count(self) -> int:
        """How many candidates the whole grid has."""
        return math.prod(axis.size for axis in self.axes)

    def every(self) -> Rows:
        """All candidates, int64 [count, axes]."""
        found = np.unravel_index(np.arange(self.count), tuple(self.sizes.tolist()))
        return np.stack(found, axis=1).astype(np.int64)

    def frame(self, rows: Rows) -> pd.DataFrame:
        """The values of rows, a column for each parameter."""
        import pandas as pd

        columns = {}
        for axis, index in zip(self.axes, rows.T, strict=True):
            if isinstance(axis.distribution, IntDistribution):
                columns[axis.name] = axis.distribution.low + axis.distribution.step * index
            else:
                # Of one kind, or pandas makes NaN of None and floats of integers.
                kinds = {type(choice) for choice in axis.choices}
                kind = None if len(kinds) == 1 and kinds != {type(None)} else object
                choices = np.array(axis.choices, dtype=kind)
                columns[axis.name] = pd.Series(choices[index], dtype=kind)
        return pd.DataFrame(columns, index=range(len(rows)))

    def params(self, row: Rows) -> dict[str, Any]:
        """The values of one row [axes], as Optuna takes them."""
        return {
            axis.name: axis.choices[index]
            for axis, index in zip(self.axes, row.tolist(), strict=True)
        }

    def rows(self, listed: Any) -> Rows:
        """The rows of candidates that a user lists: a data frame with a column for each parameter,
        or an array [n, axes].

        Raises:
            ValueError: a column is missing, or a value is not on the grid.
        """
        import pandas as pd

        if not isinstance(listed, pd.DataFrame):
            values = np.asarray(listed, dtype=object)
            if values.ndim != 2 or values.shape[1] != len(self.axes):
                raise ValueError(
                    f"`candidates` must be [n, {len(self.axes)}]; got shape {values.shape}"
                )
            listed = pd.DataFrame(values, columns=self.names)
        columns = []
        for axis in self.axes:
            if axis.name not in listed:
                raise ValueError(f"`candidates` must have a column `{axis.name}`")
            codes, different = pd.factorize(listed[axis.name], use_na_sentinel=False)
            if None in axis.choices:  # which pandas may have as NaN
                different = [None if pd.isna(value) else value for value in different]
            indices = [axis.index(value) for value in different]
            if None in indices:
                value = different[indices.index(None)]
                raise ValueError(
                    f"`candidates`: `{axis.name}` must be of "
                    f"{shorten(str(axis.distribution), 90)}; got {shorten(value)}"
                )
            columns.append(np.array(indices, dtype=np.int64)[codes])
        return np.column_stack(columns)

    def row(self, params: Mapping[str, Any]) -> tuple[int, ...] | None:
        """The row of parameters; None if one is missing, or is not on the grid."""
        found = []
        for axis in self.axes:
            index = axis.index(params[axis.name]) if axis.name in params else None
            if index is None:
                return None
            found.append(index)
        return tuple(found)


def key(row: Iterable[int]) -> bytes:
    """A row as a member of a set."""
    return np.array(tuple(row), dtype=np.int64).tobytes()


def _axis(name: str, distribution: BaseDistribution) -> GridAxis:
    if isinstance(distribution, IntDistribution):
        size = (distribution.high - distribution.low) // distribution.step + 1
        if size > np.iinfo(np.int64).max:
            raise ValueError(f"`{name}` must have fewer than 2^63 choices; got {shorten(size)}")
        return GridAxis(name, distribution, size)
    if isinstance(distribution, CategoricalDistribution):
        return GridAxis(name, distribution, len(distribution.choices))
    if not isinstance(distribution, BaseDistribution):
        raise TypeError(
            f"`{name}` must be an Optuna distribution; got {type(distribution).__name__}"
        )
    raise ValueError(
        f"`{name}` must be an IntDistribution or a CategoricalDistribution, since candidates are "
        f"listed beforehand; got {shorten(str(distribution))}; give the floats that matter as "
        "choices of a categorical"
    )
