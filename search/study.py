"""The bridge to Optuna: samplers, trials and constraints (`search.storage`: the study on disk).

The live study is in memory, where asking takes a millisecond. Each finished trial is copied to
SQLite in one transaction before the next one starts: Optuna's own writes of every parameter and
constraint would be thirty transactions. Trial numbers, values and constraints are the same in
both, so the file opens in any Optuna tool.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from search.problem import Evaluation, Problem, stack
from search.propose import Choices, children, pick
from search.samplers import SAMPLERS
from search.storage import finished_trials, open_study, store
from space.slots import Genes

POPULATION = 48
CHILDREN = 512
ROUNDS = 3
ENUMERATED = 4096  # a space this small is looked through, not sampled

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Exhausted(Exception):
    """Every architecture of the space has been tried."""


def distributions(problem: Problem) -> dict[str, BaseDistribution]:
    """One integer per axis: the index of the choice, so that near widths are near numbers."""
    return {axis.name: IntDistribution(0, axis.size - 1) for axis in problem.axes.axes}


class PrescreenedNSGAII(NSGAIISampler):
    """NSGA-II whose every trial is the best of many children by costs and closed-form score.

    Optuna keeps generations and chooses parents; a child is drawn for a random direction between
    latency and score, and never twice. The numbers drawn depend on the seed and the trial's
    number alone, so a resumed study goes on as if it had not stopped.
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
        parents = np.array([[t.params[name] for name in names] for t in elite], dtype=np.int64)
        parents = parents.reshape(-1, len(names))
        rng = np.random.default_rng([self._seed, trial.number])
        # Twice as many trials near the best score as near the least latency: budgets are upper
        # limits, and people want what they allow.
        direction = float(np.sqrt(rng.random()))
        row = self._propose(parents, direction, rng)
        return dict(zip(names, (int(value) for value in row), strict=True))

    def _propose(self, parents: Choices, direction: float, rng: np.random.Generator) -> Choices:
        """The best unseen row for `direction`, int64 [axes].

        Children of the elite first, then of the best of those, and so on: each round starts a
        step nearer to the front.
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
            raise Exhausted
        found = self._problem.evaluate_unchecked(genes)
        index = pick(found.score, found.costs.latency_s, found.violations, fresh, direction)
        return rows[index]


def _sampler(name: str, problem: Problem, seed: int, seen: set[bytes]) -> BaseSampler:
    if name == "prescreened":
        return PrescreenedNSGAII(problem, seed, seen)
    if name == "nsga2":
        return NSGAIISampler(seed=seed, population_size=POPULATION)
    if name == "tpe":
        return TPESampler(seed=seed)
    if name == "random":
        return RandomSampler(seed=seed)
    raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}; got {name!r}")


def _continued(seed: int, trials: int, sampler: str) -> int:
    """The seed of Optuna's own samplers after `trials` trials: with the first seed they would draw
    the first numbers again. Ours draws by trial number."""
    if not trials or sampler == "prescreened":
        return seed
    return int(np.random.SeedSequence([seed, trials]).generate_state(1)[0])


@dataclass
class Study:
    """A search in progress. Open with `Study.open`; `run` adds trials."""

    problem: Problem
    seed: int
    sampler: str
    live: optuna.Study
    disk: optuna.Study | None
    seen: set[bytes]
    evaluations: list[Evaluation] = field(default_factory=list)
    duplicates: int = 0

    @classmethod
    def open(
        cls,
        problem: Problem,
        *,
        seed: int = 0,
        sampler: str = "prescreened",
        path: Path | None = None,
    ) -> Study:
        """A new study, or the one at `path` with its finished trials.

        Raises:
            ValueError: the file is no study, or holds a study of something else; says of what.
        """
        seen: set[bytes] = set()
        disk = None if path is None else open_study(path)
        trials = [] if disk is None or path is None else finished_trials(disk, path)
        live = optuna.create_study(
            directions=["maximize", "minimize"],
            sampler=_sampler(sampler, problem, _continued(seed, len(trials), sampler), seen),
        )
        study = cls(problem, seed, sampler, live, disk, seen)
        if disk is not None:
            study._match(path)
        for trial in trials:
            live.add_trial(trial)
            study._recall(trial, path)
        return study

    def _recall(self, trial: FrozenTrial, path: Path | None) -> None:
        """Evaluate a stored trial again; ValueError if it is not what was stored."""
        try:
            found = self._note(self._genes(trial.params))
            values = [found.score[0], found.costs.latency_s[0]]
            same = np.allclose(trial.values, values, rtol=1e-9, atol=0)
        except (KeyError, TypeError, ValueError, IndexError):
            same = False
        if not same:
            raise ValueError(
                f"{path}: trial {trial.number} is no longer what the space and the table of "
                f"{self.problem.table.header.target} give. Choose another --out"
            )

    def _match(self, path: Path | None) -> None:
        assert self.disk is not None
        mine = {**self.problem.identity, "seed": self.seed, "sampler": self.sampler}
        mine = json.loads(json.dumps(mine))
        theirs = self.disk.user_attrs.get("identity")
        if theirs is None:
            self.disk.set_user_attr("identity", mine)
            return
        other = [name for name in mine if mine[name] != theirs.get(name)]
        if other:
            told = "; ".join(f"{n}: {theirs.get(n)} there, {mine[n]} asked for" for n in other)
            raise ValueError(
                f"{path} holds a study of something else ({told}). Choose another --out"
            )

    @property
    def trials(self) -> int:
        return len(self.evaluations)

    def _genes(self, params: dict[str, int]) -> Genes:
        row = [params[axis.name] for axis in self.problem.axes.axes]
        return self.problem.axes.genes(np.array([row]))

    def _note(self, genes: Genes) -> Evaluation:
        found = self.problem.evaluate(genes)
        self.duplicates += genes.tobytes() in self.seen
        self.seen.add(genes.tobytes())
        self.evaluations.append(found)
        return found

    def run(self, trials: int) -> Iterator[int]:
        """Run until there are `trials` trials, yielding their number after each is on disk.

        Stops early when every architecture of the space has been tried.
        """
        given = distributions(self.problem)
        while self.trials < trials:
            if self.trials and self.problem.axes.sizes.max() == 1:
                return  # one architecture: Optuna asks no sampler
            try:
                trial = self.live.ask(given)
            except Exhausted:
                return
            genes = self._genes(trial.params)
            found = self._note(genes)
            for (name, _), value in zip(
                self.problem.constraints, found.violations[0], strict=True
            ):
                trial.set_constraint(name, float(value))
            architecture = self.problem.space.architecture(genes[0])
            trial.set_user_attr("architecture", self.problem.space.text(architecture))
            values = [float(found.score[0]), float(found.costs.latency_s[0])]
            finished = self.live.tell(trial, values)
            if self.disk is not None:
                store(self.disk, finished)
            yield self.trials

    def evaluated(self) -> Evaluation:
        """All trials as one evaluation; ValueError if there is none."""
        if not self.evaluations:
            raise ValueError("at least one trial must have finished; got none")
        return stack(self.evaluations)
