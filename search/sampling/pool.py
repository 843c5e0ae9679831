"""Which candidates may be proposed: those within the limits, listed or evolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from search.optimizer.sampler import children
from search.sampling.costs import Floats, Limits
from search.sampling.grid import CandidateGrid, Rows
from space.common.errors import InfeasibleError

ENUMERATED = 100_000  # a grid of at most so many candidates is listed
DRAWN, DRAWS = 5_000, 20  # of a larger one: rows a draw, and draws at most
ENOUGH, PARENTS, GENERATIONS = 5_000, 200, 60


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """n different rows [n, axes] with their costs, each [n]."""

    rows: Rows
    costs: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> Candidates:
        return Candidates(
            self.rows[index], {name: values[index] for name, values in self.costs.items()}
        )


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The candidates within the limits.

    Attributes:
        complete: `base` is all there are; else `relatives` finds more.
    """

    grid: CandidateGrid
    limits: Limits
    base: Candidates
    complete: bool

    @classmethod
    def of(cls, grid: CandidateGrid, limits: Limits, only: Rows | None, seed: int) -> Pool:
        """The pool of a grid.

        Args:
            only: the rows that exist, if not every one of the grid does.
            seed: of the rows that are drawn where the grid is too large to be listed.

        Raises:
            InfeasibleError: no candidate is within the limits.
            ValueError: the cost function returns something else than costs.
        """
        if only is not None or grid.count <= ENUMERATED:
            rows = np.unique(grid.every() if only is None else only, axis=0)
            costs = limits.costs(grid, rows)
            return cls(grid, limits, _feasible(grid, limits, rows, costs), True)
        return cls(grid, limits, _evolved(grid, limits, seed), False)

    def relatives(self, parents: Rows, n: int, rng: np.random.Generator) -> Candidates:
        """What is feasible of n children of `parents`, each row once."""
        return self.within(_children(parents, self.grid, n, rng))

    def within(self, rows: Rows) -> Candidates:
        """The feasible ones of rows [n, axes], each once."""
        rows = np.unique(rows, axis=0)
        costs = self.limits.costs(self.grid, rows)
        return Candidates(rows, costs).take(np.flatnonzero(_excess(self.limits, rows, costs) == 0))


def joined(pools: list[Candidates]) -> Candidates:
    """All candidates of some pools, each row once."""
    rows, first = np.unique(
        np.concatenate([pool.rows for pool in pools]), axis=0, return_index=True
    )
    costs = {
        name: np.concatenate([pool.costs[name] for pool in pools])[first]
        for name in pools[0].costs
    }
    return Candidates(rows, costs)


def _excess(limits: Limits, rows: Rows, costs: Mapping[str, Floats]) -> Floats:
    return limits.excess(costs) if costs else np.zeros(len(rows))


def _feasible(
    grid: CandidateGrid, limits: Limits, rows: Rows, costs: Mapping[str, Floats]
) -> Candidates:
    """The feasible ones of rows.

    Raises:
        InfeasibleError: none is.
    """
    excess = _excess(limits, rows, costs)
    found = Candidates(rows, costs).take(np.flatnonzero(excess == 0))
    if len(found):
        return found
    if not len(rows):
        raise InfeasibleError("there is no candidate")
    nearest = int(np.argmin(excess))
    over = ", ".join(
        f"`{name}` {costs[name][nearest]:.6g} over {most:.6g}"
        for name, most in limits.largest.items()
        if costs[name][nearest] > most
    )
    raise InfeasibleError(
        f"no candidate of {len(rows):,} is within the limits; the nearest has {over}: "
        f"{grid.params(rows[nearest])}; raise the limit"
    )


def _evolved(grid: CandidateGrid, limits: Limits, seed: int) -> Candidates:
    """Feasible rows of a grid that is too large to be listed: drawn, and where the limits leave
    next to none, bred from the rows nearest to them.

    Raises:
        InfeasibleError: none was found.
    """
    rng = np.random.default_rng([seed, 1 << 32])
    kept = Candidates(np.empty((0, len(grid.axes)), dtype=np.int64), {})
    for step in range(DRAWS + GENERATIONS):
        drawn = step < DRAWS
        parents = kept.rows[:0] if drawn else kept.rows[:PARENTS]
        rows = np.unique(_children(parents, grid, DRAWN, rng), axis=0)
        fresh = Candidates(rows, limits.costs(grid, rows))
        kept = joined([kept, fresh]) if step else fresh
        excess = _excess(limits, kept.rows, kept.costs)
        feasible = int((excess == 0).sum())
        kept = kept.take(np.argsort(excess, kind="stable")[: max(feasible, PARENTS)])
        if feasible >= (ENOUGH if drawn else ENOUGH // 10):
            break
    return _feasible(grid, limits, kept.rows, kept.costs)


def _children(parents: Rows, grid: CandidateGrid, n: int, rng: np.random.Generator) -> Rows:
    return children(parents, grid.sizes, n, rng).astype(np.int64, copy=False)
