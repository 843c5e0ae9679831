"""The bridge to Optuna: samplers, trials and constraints (`search.optimizer.storage`: the study on
disk).

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
from search.problem.pareto import stack
from search.problem.problem import Evaluation, Problem
from space.architectures.search_space import Genes
from space.common.errors import ExhaustedError

optuna.logging.set_verbosity(optuna.logging.WARNING)


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
            sampler=make_sampler(sampler, problem, _continued(seed, len(trials), sampler), seen),
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
            except ExhaustedError:
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
