"""Optuna's samplers, and NSGA-II that prescreens many children for each trial."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from search.optimizer.proposals import Choices, children, pick
from search.optimizer.sampler_names import SAMPLERS
from search.problem.problem import Problem
from space.common.errors import ExhaustedError

POPULATION = 48
CHILDREN = 512
ROUNDS = 3
ENUMERATED = 4096  # a space of at most this many architectures is enumerated, not sampled


def distributions(problem: Problem) -> dict[str, BaseDistribution]:
    """One integer per axis: the index of the choice, so that near widths are near numbers."""
    return {axis.name: IntDistribution(0, axis.size - 1) for axis in problem.axes.axes}


class PrescreenedNSGAII(NSGAIISampler):
    """NSGA-II whose every trial is the best of many children by costs and closed-form score.

    Optuna forms generations and selects parents; each trial takes the best child for a random
    direction between latency and score, and no child twice. The random numbers depend only on the
    seed and the trial's number, so a resumed study continues as if it had never stopped.

    Args:
        seen: genes that no trial may repeat, as bytes; the study adds to it.
    """

    def __init__(self, problem: Problem, seed: int, seen: set[bytes]) -> None:
        super().__init__(seed=seed, population_size=POPULATION)
        self._problem, self._seed, self._seen = problem, seed, seen

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return distributions(self._problem)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        generation = self.get_trial_generation(study, trial)
        elite = self.get_parent_population(study, generation)
        names = list(search_space)
        rows = [[t.params[name] for name in names] for t in elite]
        parents = np.array(rows, dtype=np.int64).reshape(-1, len(names))
        rng = np.random.default_rng([self._seed, trial.number])
        # The square root draws directions near the score more often than those near latency:
        # budgets are upper limits, and people want networks that use them up.
        row = self._propose(parents, float(np.sqrt(rng.random())), rng)
        return dict(zip(names, row.tolist(), strict=True))

    def _propose(self, parents: Choices, direction: float, rng: np.random.Generator) -> Choices:
        """The best unseen row for `direction`, int64 [axes].

        The first round takes children of `parents`, each later one children of the best row so
        far: every round starts nearer to the front.

        Raises:
            ExhaustedError: every row has been tried.
        """
        sizes = self._problem.axes.sizes
        if np.prod(sizes.astype(float)) <= ENUMERATED:
            every = np.unravel_index(np.arange(np.prod(sizes)), tuple(sizes))
            return self._best(np.stack(every, axis=1), direction)
        best = parents
        for _ in range(ROUNDS):
            rows = np.concatenate([children(best, sizes, CHILDREN, rng), parents, best])
            best = self._best(rows, direction)[None]
        return best[0]

    def _best(self, rows: Choices, direction: float) -> Choices:
        genes = self._problem.axes.genes(rows)
        fresh = np.array([row.tobytes() not in self._seen for row in genes])
        if not fresh.any():
            raise ExhaustedError("every architecture of the space has been tried")
        found = self._problem.evaluate_unchecked(genes)
        index = pick(found.score, found.costs.latency_s, found.violations, fresh, direction)
        return rows[index]


def make_sampler(name: str, problem: Problem, seed: int, seen: set[bytes]) -> BaseSampler:
    """A sampler by its name, of `SAMPLERS`.

    Args:
        seen: genes that the prescreened sampler must not repeat, as bytes.

    Raises:
        ValueError: an unknown name.
    """
    if name == "prescreened":
        return PrescreenedNSGAII(problem, seed, seen)
    if name == "nsga2":
        return NSGAIISampler(seed=seed, population_size=POPULATION)
    if name == "tpe":
        return TPESampler(seed=seed)
    if name == "random":
        return RandomSampler(seed=seed)
    raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}; got {name!r}")
