"""Which candidate is evaluated next, given the history?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from search.sampling.costs import Floats
from search.sampling.grid import Rows
from search.sampling.history import History
from search.sampling.known import Known
from search.sampling.model import Constants, LabelModel
from search.sampling.pool import Candidates, joined

SPREAD = 10  # candidates of which the farthest is taken before there are labels
ROUNDS, CHILDREN, BEST = 3, 1000, 50  # of a pool that is not complete
HERD = 8  # how many more candidates each further attempt draws from
MANY = 20_000  # children of such a pool that is used up


@dataclass(eq=False)
class Proposer:
    """Proposes rows of a pool.

    A proposal is a function of the history and the random numbers alone; what is kept here only
    saves time.

    Attributes:
        startup: labels before the process takes over; until then candidates are spread.
    """

    known: Known
    startup: int
    _constants: dict[str, tuple[bytes, Constants]] = field(init=False, default_factory=dict)

    def propose(
        self,
        history: History,
        signs: Floats,
        rng: np.random.Generator,
        fixed: Mapping[int, int],
        attempt: int = 0,
    ) -> tuple[Rows, bool]:
        """The row [axes] to evaluate next, and whether it is new.

        Args:
            signs: [objectives], 1 where larger values are better, -1 elsewhere.
            fixed: axis -> the index that it must have, as of a trial that is enqueued with some
                parameters; disregarded where no candidate has them.
            attempt: how many proposals other workers have taken at the same moment. Since workers
                agree on what is best, each then draws one of the best: ever more of them.
        """
        pool = self.known.pool
        fresh = self._fresh(history, fixed, rng)
        if not len(fresh):
            return pool.base.rows[rng.integers(len(pool.base))], False
        if len(history.rows) < max(self.startup, 1):
            return fresh.rows[self._spread(history, fresh, signs, rng)], True
        model = LabelModel.fit(self.known, history, signs, self._constants)
        direction = int(rng.integers(2**32))
        if pool.complete and not fixed:
            # The columns of the whole pool are at hand.
            value = np.where(self._left(history), model.value(pool.base, direction), -np.inf)
            fresh = pool.base
        else:
            value = model.value(fresh, direction)
        if not pool.complete and not fixed:
            fresh, value = self._refined(history, model, fresh, value, direction, rng)
        order = rng.permutation(len(fresh))  # among equals a random one
        order = order[np.argsort(-value[order], kind="stable")]
        most = min(1 + HERD * attempt, int(np.isfinite(value).sum()))
        return fresh.rows[order[rng.integers(max(most, 1))]], True

    def _left(self, history: History) -> NDArray[np.bool_]:
        """Which of the pool no trial has."""
        places = self.known.places
        left = np.ones(len(self.known.pool.base), dtype=bool)
        left[[places[row] for row in history.seen if row in places]] = False
        return left

    def _fresh(
        self, history: History, fixed: Mapping[int, int], rng: np.random.Generator
    ) -> Candidates:
        """Candidates that no trial has."""
        pool, base = self.known.pool, self.known.pool.base
        if fixed:
            held = self._held(base, fixed)
            held = held.take(_unseen(held, history))
            if len(held):
                return held
        left = self._left(history)
        if not left.any() and not pool.complete:
            every = pool.relatives(base.rows, MANY, rng)
            return every.take(_unseen(every, history))
        return base.take(np.flatnonzero(left))

    def _held(self, base: Candidates, fixed: Mapping[int, int]) -> Candidates:
        """Candidates that have the fixed indices."""
        if self.known.pool.complete:
            match = [base.rows[:, axis] == index for axis, index in fixed.items()]
            return base.take(np.flatnonzero(np.all(match, axis=0)))
        rows = base.rows.copy()
        for axis, index in fixed.items():
            rows[:, axis] = index
        return self.known.pool.within(rows)

    def _spread(
        self, history: History, fresh: Candidates, signs: Floats, rng: np.random.Generator
    ) -> int:
        """The farthest from all taken ones of a few candidates (Mitchell, "Spectrally optimal
        sampling for distribution ray tracing", SIGGRAPH 1991, section 4); of those that a prior
        expects to be in the best quarter."""
        few = rng.permutation(len(fresh))[: 4 * SPREAD if self.known.prior else SPREAD]
        if self.known.prior is not None:
            expected = self.known.expected(fresh.take(few), signs)[0]
            few = few[np.argsort(-expected, kind="stable")[:SPREAD]]
        taken = np.concatenate([history.rows, history.waiting])
        if not len(taken):
            return int(few[0])
        here = self.known.columns(fresh.take(few)).trend
        there = self.known.columns(self.known.priced(taken)).trend
        apart = np.square(here[:, None] - there).sum(axis=2).min(axis=1)
        return int(few[np.argmax(apart)])

    def _refined(
        self,
        history: History,
        model: LabelModel,
        found: Candidates,
        value: Floats,
        direction: int,
        rng: np.random.Generator,
    ) -> tuple[Candidates, Floats]:
        """More candidates, children of the best labelled ones and of the best so far."""
        parents = model.best_rows(BEST)
        for _ in range(ROUNDS):
            best = found.rows[np.argsort(-value, kind="stable")[:BEST]]
            near = self.known.pool.relatives(np.concatenate([parents, best]), CHILDREN, rng)
            near = near.take(_unseen(near, history))
            if len(near):
                found = joined([found, near])
                value = model.value(found, direction)
        return found, value


def _unseen(found: Candidates, history: History) -> np.ndarray:
    return np.flatnonzero([row.tobytes() not in history.seen for row in found.rows])
