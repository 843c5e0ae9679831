"""What is known of candidates before any label: costs, columns, and what a user expects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.predictor.columns import Columns
from search.sampling.costs import Floats
from search.sampling.encoding import CandidateEncoding
from search.sampling.grid import Rows
from search.sampling.pool import Candidates, Pool

if TYPE_CHECKING:
    import pandas as pd

Expectation = Callable[["pd.DataFrame"], Any]
"""Candidates, a column for each parameter -> expected values, [n] or [n, objectives]."""


@dataclass(eq=False)
class Known:
    """What is known of the candidates of a pool.

    Attributes:
        prior: expected values in the units of the objectives, if a user has any.
        places: a row of the pool, as bytes -> its index.
    """

    pool: Pool
    prior: Expectation | None
    encoding: CandidateEncoding = field(init=False)
    places: dict[bytes, int] = field(init=False)
    _columns: Columns = field(init=False)

    def __post_init__(self) -> None:
        base = self.pool.base
        self.encoding = CandidateEncoding.of(self.pool.grid, base)
        self.places = {row.tobytes(): index for index, row in enumerate(base.rows)}
        self._columns = self.encoding.columns(base)

    def priced(self, rows: Rows) -> Candidates:
        """Rows [n, axes] with their costs, feasible or not."""
        return Candidates(rows, self.pool.limits.costs(self.pool.grid, rows))

    def columns(self, found: Candidates) -> Columns:
        """The columns of candidates; those of the pool are at hand."""
        return self._columns if found is self.pool.base else self.encoding.columns(found)

    def expected(self, found: Candidates, signs: Floats) -> Floats:
        """What the prior expects of candidates, [objectives, n], larger being better.

        Raises:
            ValueError: the prior returns another shape, or no finite numbers.
        """
        assert self.prior is not None
        n, m = len(found), len(signs)
        try:
            values = np.asarray(self.prior(self.pool.grid.frame(found.rows)), dtype=float)
        except (TypeError, ValueError):
            raise ValueError("`prior` must return numbers") from None
        if values.shape not in ((n, m), *([(n,)] if m == 1 else [])):
            shape = f"[{n}]" if m == 1 else f"[{n}, {m}]"
            raise ValueError(f"`prior` must return {shape}; got shape {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError("`prior` must return finite numbers; got NaN or infinity")
        return np.asarray(signs[:, None] * values.reshape(n, m).T)
