"""What a candidate is worth, given the labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluator.predictor.columns import Columns
from search.sampling.acquisition import (
    log_feasible,
    log_improvement,
    log_improvement_of_several,
)
from search.sampling.costs import Floats
from search.sampling.encoding import with_prior
from search.sampling.grid import Rows
from search.sampling.history import History
from search.sampling.known import Known
from search.sampling.pool import Candidates
from search.sampling.surrogate import (
    Constants,
    Surrogate,
    choose_constants,
    comparable,
    signed,
)

LABELS = 1000  # a process is fitted on at most so many
EVERY, GROWTH = 30, 1.06  # beyond EVERY labels, constants are chosen each time they grow so much
Cache = dict[str, tuple[bytes, Constants]]


@dataclass(frozen=True, slots=True, eq=False)
class LabelModel:
    """A process of each objective and of each measured constraint.

    Attributes:
        labelled: the n candidates that it is fitted on.
        values: of these, [objectives, n], larger being better.
        feasible: [n], which of them meet the measured constraints.
        expected: what the prior says of them, [objectives, n]; None without one.
    """

    known: Known
    signs: Floats
    labelled: Candidates
    values: Floats
    feasible: NDArray[np.bool_]
    expected: Floats | None
    objectives: tuple[Surrogate, ...]
    constraints: tuple[Surrogate, ...]

    @classmethod
    def fit(cls, known: Known, history: History, signs: Floats, cache: Cache) -> LabelModel:
        """The model of a history with at least one label.

        Args:
            signs: [objectives], 1 where larger values are better, -1 elsewhere.
            cache: the constants that were chosen last, by the name of their process.
        """
        kept = _kept(history.values)
        labelled, waiting = known.priced(history.rows[kept]), known.priced(history.waiting)
        prior = known.prior is not None
        expected = known.expected(labelled, signs) if prior else None
        further = known.expected(waiting, signs) if prior else None
        columns, beside = known.columns(labelled), known.columns(waiting)
        first = slice(_enough(len(kept)))
        objectives = []
        for index, raw in enumerate(history.values[kept].T):
            here, there, few = columns, beside, columns.take(first)
            if expected is not None and further is not None:
                mine = expected[index]
                here, there = with_prior(here, mine, mine), with_prior(there, further[index], mine)
                few = with_prior(few, mine[first], mine[first])
            identity = labelled.rows[first].tobytes() + raw[first].tobytes()
            constants = _chosen(cache, f"objective {index}", identity, few, comparable(raw[first]))
            objectives.append(Surrogate.fit(constants, here, comparable(raw), there))
        constraints = [
            _constraint(name, labelled.rows, columns, limits[kept], beside, cache)
            for name, limits in history.constraints.items()
            if not np.isnan(limits[kept]).all()
        ]
        return cls(
            known,
            signs,
            labelled,
            history.values[kept].T,
            history.feasible[kept],
            expected,
            tuple(objectives),
            tuple(constraints),
        )

    def value(self, found: Candidates, direction: int) -> Floats:
        """[n]: the logarithm of the improvement that a candidate promises, plus that of the
        probability that it meets the measured constraints; the latter alone until a label does.

        Args:
            direction: of several objectives, the seed of how they are weighed.
        """
        columns, total = self.known.columns(found), np.zeros(len(found))
        for constraint in self.constraints:
            total += log_feasible(*constraint.posterior(columns))
        if not self.feasible.any():
            return total
        met = self.labelled.take(np.flatnonzero(self.feasible))
        best = self._means(met)
        posterior = [
            process.posterior(each)
            for process, each in zip(self.objectives, self._columns(found), strict=True)
        ]
        if len(posterior) == 1:
            return total + log_improvement(*posterior[0], float(best.max()))
        means, deviations = (np.array(each) for each in zip(*posterior, strict=True))
        rng = np.random.default_rng(direction)
        return total + log_improvement_of_several(means, deviations, best, rng)

    def best_rows(self, n: int) -> Rows:
        """The n best labelled rows by the ranks of their objectives, feasible ones first."""
        ranks = np.argsort(np.argsort(self.values, axis=1), axis=1).sum(axis=0)
        order = np.lexsort((-ranks, ~self.feasible))
        return self.labelled.rows[order[:n]]

    def _means(self, found: Candidates) -> Floats:
        """[objectives, n]: what is expected of candidates."""
        return np.array(
            [
                process.posterior(each)[0]
                for process, each in zip(self.objectives, self._columns(found), strict=True)
            ]
        )

    def _columns(self, found: Candidates) -> list[Columns]:
        """The columns of candidates for each objective."""
        columns = self.known.columns(found)
        if self.expected is None:
            return [columns] * len(self.objectives)
        expected = self.known.expected(found, self.signs)
        return [
            with_prior(columns, each, labelled)
            for each, labelled in zip(expected, self.expected, strict=True)
        ]


def _kept(values: Floats) -> NDArray[np.int64]:
    """Which of n labels with values [n, objectives] the process is fitted on, in their order: all,
    or the better half of LABELS and the latest of the others."""
    n = len(values)
    if n <= LABELS:
        return np.arange(n)
    ranks = np.argsort(np.argsort(values, axis=0), axis=0).mean(axis=1)
    order = np.argsort(-ranks, kind="stable")
    better, others = order[: LABELS // 2], np.sort(order[LABELS // 2 :])
    return np.sort(np.concatenate([better, others[-(LABELS - LABELS // 2) :]]))


def _enough(n: int) -> int:
    """How many of n labels, the first ones, the constants are chosen on."""
    if n <= EVERY:
        return n
    steps = int(np.log(n / EVERY) / np.log(GROWTH) + 1e-9)
    return int(EVERY * GROWTH**steps)


def _constraint(
    name: str, rows: Rows, columns: Columns, limits: Floats, waiting: Columns, cache: Cache
) -> Surrogate:
    """The process of a measured constraint [n], NaN where a trial has none."""
    has = np.flatnonzero(~np.isnan(limits))
    y, here, first = signed(limits[has]), columns.take(has), slice(_enough(len(has)))
    identity = rows[has[first]].tobytes() + y[first].tobytes()
    constants = _chosen(cache, f"constraint {name}", identity, here.take(first), y[first])
    return Surrogate.fit(constants, here, y, waiting)


def _chosen(cache: Cache, name: str, identity: bytes, columns: Columns, y: Floats) -> Constants:
    """The constants of a process; for labels of the same `identity` they are chosen once."""
    if name not in cache or cache[name][0] != identity:
        cache[name] = identity, choose_constants(columns, y)
    return cache[name][1]
