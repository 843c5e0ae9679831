"""What candidates cost before anything is trained, and by how much each exceeds its limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from search.sampling.grid import CandidateGrid, Rows
from space.common.text import shorten

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
CostFunction = Callable[["pd.DataFrame"], Any]
"""Candidates, a column for each parameter -> one cost [n], or costs [n] by name."""
ONLY = "cost"  # the name of a cost that the function does not name


@dataclass(frozen=True, slots=True)
class Limits:
    """A cost function and the largest value of each cost that has a limit, by name."""

    function: CostFunction | None
    largest: Mapping[str, float]

    @classmethod
    def of(
        cls, function: CostFunction | None, limits: float | Mapping[str, float] | None
    ) -> Limits:
        """Limits as a user gives them: one number is that of the only cost.

        Raises:
            ValueError: a limit without a cost function, or one that is not finite.
            TypeError: a limit is no number, or the function cannot be called.
        """
        if function is not None and not callable(function):
            raise TypeError(f"`costs` must be a function; got {type(function).__name__}")
        if limits is None:
            return cls(function, {})
        if function is None:
            raise ValueError("`limits` are of `costs`, a function of candidates; got no function")
        named = dict(limits) if isinstance(limits, Mapping) else {ONLY: limits}
        for name, value in named.items():
            if isinstance(value, bool) or not isinstance(value, int | float | np.number):
                raise TypeError(f"the limit of `{name}` must be a number; got {shorten(value)}")
            if not np.isfinite(value):
                raise ValueError(f"the limit of `{name}` must be finite; got {value}")
        return cls(function, {name: float(value) for name, value in named.items()})

    def costs(self, grid: CandidateGrid, rows: Rows) -> dict[str, Floats]:
        """The costs of rows [n, axes], each [n]; none without a function.

        Raises:
            ValueError: the function returns another shape, no numbers, or not the costs that have
                limits.
        """
        if self.function is None:
            return {}
        found = self.function(grid.frame(rows))
        named = hasattr(found, "keys") and not hasattr(found, "to_frame")  # a Series has both
        costs = {str(name): found[name] for name in found} if named else {ONLY: found}
        if not named and len(self.largest) == 1:
            costs = dict(zip(self.largest, costs.values(), strict=True))
        checked = {name: _checked(name, values, len(rows)) for name, values in costs.items()}
        missing = [name for name in self.largest if name not in checked]
        if missing:
            raise ValueError(
                f"`costs` must return every cost that has a limit; `{missing[0]}` is missing "
                f"of {', '.join(checked)}"
            )
        return checked

    def excess(self, costs: Mapping[str, Floats]) -> Floats:
        """[n]: by how much costs exceed their limits, as a share of these, summed; 0: feasible."""
        n = len(next(iter(costs.values()))) if costs else 0
        total = np.zeros(n)
        for name, most in self.largest.items():
            total += np.maximum(costs[name] - most, 0) / (abs(most) or 1.0)
        return total


def _checked(name: str, values: Any, n: int) -> Floats:
    try:
        found = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"`costs` must return numbers; `{name}` is {shorten(values)}") from None
    if found.shape != (n,):
        raise ValueError(
            f"`costs` must return one number for each of {n} candidates; `{name}` has shape "
            f"{found.shape}"
        )
    if not np.isfinite(found).all():
        raise ValueError(f"`costs` must return finite numbers; `{name}` has NaN or infinity")
    return found
