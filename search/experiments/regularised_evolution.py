"""Regularised evolution as an Optuna sampler, to compare with.

Real et al., "Regularized evolution for image classifier architecture search", AAAI 2019,
algorithm 1: the population is the latest networks, whatever their worth; the best of a random
sample of it has one child, which differs in one gene.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from search.sampling.grid import CandidateGrid, Rows
from search.sampling.history import read_history

POPULATION, SAMPLE = 50, 10


class RegularisedEvolution(BaseSampler):
    """Proposes a child of the best of a random sample of the latest feasible trials, and random
    candidates until there are enough. For one objective."""

    def __init__(
        self,
        space: Mapping[str, BaseDistribution],
        *,
        seed: int,
        population: int = POPULATION,
        sample: int = SAMPLE,
    ) -> None:
        self._space, self._grid, self._seed = dict(space), CandidateGrid.of(space), seed
        self._population, self._sample = population, sample

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return dict(self._space)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        rng = np.random.default_rng([self._seed, trial.number])
        sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
        history = read_history(self._grid, study.get_trials(deepcopy=False), np.array([sign]))
        alive = np.flatnonzero(history.feasible)[-self._population :]
        if len(alive) < self._population:
            return self._grid.params(rng.integers(0, self._grid.sizes))
        drawn = rng.choice(alive, self._sample, replace=True)
        parent = drawn[int(np.argmax(history.values[drawn, 0]))]
        return self._grid.params(mutated(history.rows[parent], self._grid, rng))

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return RandomSampler(self._seed).sample_independent(
            study, trial, param_name, param_distribution
        )


def mutated(row: Rows, grid: CandidateGrid, rng: np.random.Generator) -> Rows:
    """A row [axes] with another choice on one axis that has some."""
    open_axes = np.flatnonzero(grid.sizes > 1)
    child = row.copy()
    if len(open_axes):
        axis = int(rng.choice(open_axes))
        other = int(rng.integers(grid.sizes[axis] - 1))
        child[axis] = other + (other >= row[axis])
    return child
