"""Optuna's samplers, and NSGA-II that prescreens many children for each trial.

Costs and score of thousands of architectures take milliseconds; storing a trial takes longer and
training a network minutes. So each trial is the best of many children.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from search.optimizer import SAMPLERS
from search.problem.estimate_score import EstimateScore
from search.problem.problem import Floats, Problem
from space.common.errors import ExhaustedError

Choices = NDArray[np.integer]
POPULATION = 48
CHILDREN = 512
ROUNDS = 3
ENUMERATED = 4096  # a space of at most this many architectures is enumerated, not sampled


def distributions(problem: Problem) -> dict[str, BaseDistribution]:
    """One integer per axis: the index of the choice, so that near widths are near numbers."""
    return {axis.name: IntDistribution(0, axis.size - 1) for axis in problem.axes.axes}


class ResumableNSGAII(NSGAIISampler):
    """Optuna's NSGA-II, whose generations and parents follow from the finished trials alone.

    Optuna keeps the parents of a generation in the study, which a resumed search lacks, and their
    order differs between the first trial of a generation and the others; children are drawn by
    the position of a parent. Here the order is the same function of the trials before and after a
    stop, and that of an Optuna study which never stops.
    """

    def __init__(self, seed: int, population: int = POPULATION) -> None:
        super().__init__(seed=seed, population_size=population)
        self._population = population
        self._latest: tuple[int, list[int]] = (0, [])  # generation, numbers of its parents

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        """The generation of the trial that is drawn now."""
        return len(_finished(study)) // self._population

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """The finished trials of a generation."""
        return _finished(study)[
            generation * self._population : (generation + 1) * self._population
        ]

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """The trials whose children make up a generation: in the order of selection for its first
        trial, in that of their numbers for the others, as Optuna has them."""
        if self._latest[0] > generation:
            self._latest = (0, [])
        # A loop: Optuna's recursion ends at a thousand generations.
        for each in range(self._latest[0] + 1, generation + 1):
            selected = self.select_parent(study, each)
            self._latest = (each, [trial.number for trial in selected])
        trials, (_, numbers) = _finished(study), self._latest
        first = len(trials) == generation * self._population
        return [trials[number] for number in (numbers if first else sorted(numbers))]


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


class PrescreenedNSGAII(ResumableNSGAII):
    """NSGA-II whose every trial is the best of many children by costs and closed-form score.

    Optuna selects parents; each trial takes the best child for a random direction between latency
    and score, and no child twice. The random numbers depend only on the seed and the trial's
    number, so a resumed study continues as if it had never stopped.

    Args:
        seen: genes that no trial may repeat, as bytes; the study adds to it.
    """

    def __init__(self, problem: Problem, seed: int, seen: set[bytes]) -> None:
        super().__init__(seed)
        self._problem, self._seed, self._seen = problem, seed, seen
        self._start = start_rows(problem)

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
        best = parents = np.concatenate([parents, self._start])
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


def start_rows(problem: Problem) -> Choices:
    """Rows beside the parents, int64 [m, axes]: the baseline of an estimate, near which networks
    are certain; none for other scores."""
    names = [axis.name for axis in problem.axes.axes]
    if not isinstance(problem.score, EstimateScore) or problem.only is not None:
        return np.empty((0, len(names)), dtype=np.int64)
    columns = [problem.space.position(name) for name in names]
    return problem.score.base[:, columns].astype(np.int64)


def children(
    parents: Choices, sizes: NDArray[np.int64], n: int, rng: np.random.Generator
) -> Choices:
    """n children of `parents` int [p, axes], int64 [n, axes]; random rows if p = 0.

    Each child takes every axis from one of two parents, then changes 1.5 axes on average: half of
    the changes are steps to a near choice (widths are ordered), half are random. One child in
    eight is a random row.

    Args:
        sizes: the number of choices of each axis, [axes].
    """
    axes = len(sizes)
    fresh = rng.integers(0, sizes, size=(n, axes))
    if not len(parents):
        return fresh
    mother, father = parents[rng.integers(0, len(parents), size=(2, n))]
    child = np.where(rng.random((n, axes)) < 0.5, mother, father)
    change = rng.random((n, axes)) < 1.5 / axes
    reach = np.maximum(1, sizes // 12)
    step = rng.integers(1, reach + 1, size=(n, axes)) * rng.choice((-1, 1), size=(n, axes))
    near = np.clip(child + step, 0, sizes - 1)
    changed = np.where(rng.random((n, axes)) < 0.5, near, fresh)
    child = np.where(change, changed, child)
    renewed = rng.random(n) < 1 / 8
    child[renewed] = fresh[renewed]
    return child


def pick(
    score: Floats,
    latency: Floats,
    violations: Floats,
    allowed: NDArray[np.bool_],
    direction: float,
) -> int:
    """The best row for `direction` (0: only latency counts, 1: only score), of n rows with
    `violations` [n, constraints], feasible when <= 0.

    Among feasible rows the one with the least augmented Tchebycheff distance to the best score
    and latency (Knowles, "ParEGO", IEEE TEVC 2006, section II); if no row is feasible, the one
    with the least total violation. Rows that are not `allowed` only widen the ranges.

    Raises:
        ValueError: no row is allowed.
    """
    if not allowed.any():
        raise ValueError("at least one row must be allowed; got none")
    total = np.maximum(violations, 0).sum(axis=1)
    feasible = total == 0
    if not (feasible & allowed).any():
        return int(np.argmin(np.where(allowed, total, np.inf)))
    lack = _unit(-score, feasible)
    cost = _unit(np.log(latency), feasible)
    weighted = np.stack([direction * lack, (1 - direction) * cost])
    distance = weighted.max(axis=0) + 0.05 * weighted.sum(axis=0)
    return int(np.argmin(np.where(feasible & allowed, distance, np.inf)))


def _unit(values: Floats, rows: NDArray[np.bool_]) -> Floats:
    """Values scaled so that `rows` span 0 to 1."""
    low, high = values[rows].min(), values[rows].max()
    return (values - low) / (high - low if high > low else 1.0)


def make_sampler(name: str, problem: Problem, seed: int, seen: set[bytes]) -> BaseSampler:
    """A sampler by its name, of `SAMPLERS`; ValueError for others. `seen`: genes that the
    prescreened sampler must not repeat, as bytes."""
    if name == "prescreened":
        return PrescreenedNSGAII(problem, seed, seen)
    if name == "nsga2":
        return ResumableNSGAII(seed)
    if name == "tpe":
        return TPESampler(seed=seed)
    if name == "random":
        return RandomSampler(seed=seed)
    raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}; got {name!r}")
