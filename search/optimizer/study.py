"""The bridge to Optuna: a search is a study whose finished trials are on disk.

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

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from search.optimizer.sampler import distributions, make_sampler
from search.optimizer.storage import finished_trials, open_study, store
from search.problem.problem import Evaluation, Problem, concatenate
from space.architectures.search_space import Genes
from space.common.errors import ExhaustedError

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass
class Study:
    """A search in progress. `Study.open` makes or resumes one; `run` adds trials.

    Args:
        live, disk: Optuna's study in memory, and the one in a file or None.
        seen: the genes of every trial, as bytes.
        evaluations: of each trial, one row each.
        duplicates: the number of trials whose genes an earlier trial had.

    Example:
        >>> from latency.table.load import load_table
        >>> from search import Problem, Study, parse_budgets
        >>> from space import ShuffleNetV2Space
        >>> problem = Problem(ShuffleNetV2Space(), load_table("arm"), parse_budgets(["146M"]))
        >>> study = Study.open(problem, seed=0)
        >>> list(study.run(3))
        [1, 2, 3]
        >>> study.evaluated().score.shape
        (3,)
    """

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
            ValueError: an unknown sampler; the file is no study, or a study with other settings,
                and the message says which; or a stored trial no longer has its stored values.
        """
        seen: set[bytes] = set()
        disk = None if path is None else open_study(path)
        trials = [] if disk is None or path is None else finished_trials(disk, path)
        own = make_sampler(sampler, problem, _resumed_seed(seed, len(trials), sampler), seen)
        live = optuna.create_study(directions=["maximize", "minimize"], sampler=own)
        study = cls(problem, seed, sampler, live, disk, seen)
        if disk is not None:
            study._check_identity(disk, path)
        for trial in trials:
            live.add_trial(trial)
            study._restore(trial, path)
        return study

    def _check_identity(self, disk: optuna.Study, path: Path | None) -> None:
        """Store what identifies this study, or compare it with what is stored."""
        identity = {**self.problem.identity, "seed": self.seed, "sampler": self.sampler}
        expected = json.loads(json.dumps(identity))
        stored = disk.user_attrs.get("identity")
        if stored is None:
            disk.set_user_attr("identity", expected)
            return
        differences = "; ".join(
            f"{name}: stored {stored.get(name)}, requested {value}"
            for name, value in expected.items()
            if value != stored.get(name)
        )
        if differences:
            raise ValueError(
                f"{path} was created with other settings ({differences}). Use another --out"
            )

    def _restore(self, trial: FrozenTrial, path: Path | None) -> None:
        """Evaluate a stored trial; ValueError if its values differ from the stored ones."""
        try:
            found = self._evaluate(self._genes(trial.params))
            values = [found.score[0], found.costs.latency_s[0]]
            same = np.allclose(trial.values, values, rtol=1e-9, atol=0)
        except (KeyError, TypeError, ValueError, IndexError):
            same = False
        if not same:
            raise ValueError(
                f"{path}: trial {trial.number} has other values under the present space and "
                f"table of {self.problem.table.header.target}. Use another --out"
            )

    @property
    def trials(self) -> int:
        """The number of finished trials."""
        return len(self.evaluations)

    def _genes(self, params: dict[str, int]) -> Genes:
        row = [params[axis.name] for axis in self.problem.axes.axes]
        return self.problem.axes.genes(np.array([row]))

    def _evaluate(self, genes: Genes) -> Evaluation:
        found = self.problem.evaluate(genes)
        self.duplicates += genes.tobytes() in self.seen
        self.seen.add(genes.tobytes())
        self.evaluations.append(found)
        return found

    def run(self, trials: int) -> Iterator[int]:
        """Run until `trials` trials are finished; yields their number after each is on disk.

        Stops early when every architecture of the space has been tried.

        Raises:
            OSError: a trial cannot be written.
        """
        space = distributions(self.problem)
        while self.trials < trials:
            if self.trials and self.problem.axes.sizes.max() == 1:
                return  # one architecture: Optuna asks no sampler
            try:
                trial = self.live.ask(space)
            except ExhaustedError:
                return
            genes = self._genes(trial.params)
            found = self._evaluate(genes)
            names = [name for name, _ in self.problem.constraints]
            for name, value in zip(names, found.violations[0].tolist(), strict=True):
                trial.set_constraint(name, value)
            trial.set_user_attr("architecture", self.problem.text(genes[0]))
            values = [float(found.score[0]), float(found.costs.latency_s[0])]
            finished = self.live.tell(trial, values)
            if self.disk is not None:
                store(self.disk, finished)
            yield self.trials

    def evaluated(self) -> Evaluation:
        """All trials as one evaluation, in order.

        Raises:
            ValueError: no trial has finished.
        """
        if not self.evaluations:
            raise ValueError("at least one trial must have finished; got none")
        return concatenate(self.evaluations)


def finished_study(
    problem: Problem,
    trials: int,
    *,
    seed: int = 0,
    sampler: str = "prescreened",
    path: Path | None = None,
) -> Study:
    """The study, opened and run until it has `trials` trials; raises as `Study.open` does."""
    study = Study.open(problem, seed=seed, sampler=sampler, path=path)
    for _ in study.run(trials):
        pass
    return study


def _resumed_seed(seed: int, trials: int, sampler: str) -> int:
    """The seed of Optuna's own samplers after `trials` trials: the first seed would repeat the
    first proposals. The prescreened sampler seeds by trial number."""
    if not trials or sampler == "prescreened":
        return seed
    return int(np.random.SeedSequence([seed, trials]).generate_state(1)[0])
