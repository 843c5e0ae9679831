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
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from search.optimizer.resume import genes_of, live_study, objectives, restored, tell, violations
from search.optimizer.sampler import distributions
from search.optimizer.storage import open_study, store
from search.optimizer.stored import StoredStudy, read_study
from search.problem.estimate_score import NAME
from search.problem.problem import CLOSED_FORM, Evaluation, Problem, concatenate
from space.common.cli import check_range
from space.common.errors import ExhaustedError
from space.common.text import shorten

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
            ValueError: an unknown sampler or a seed out of range; the file is no study, is
                damaged, or is a study with other settings, and the message says which; or a stored
                trial no longer has its stored values. The file is left unchanged.
            OSError: the file cannot be reached.
        """
        check_range({"seed": seed}, "seed")
        stored = StoredStudy() if path is None else read_study(path)
        identity = {**problem.identity, "seed": seed, "sampler": sampler}
        _check_identity(stored, identity, path)
        trials, evaluations = _restored(stored, problem, path)
        seen: set[bytes] = set()
        study = cls(
            problem, seed, sampler, live_study(problem, sampler, seed, seen, trials), None, seen
        )
        for found in evaluations:
            study._add(found)
        if path is not None:
            study.disk = open_study(path, identity if stored.identity is None else None)
        return study

    @property
    def trials(self) -> int:
        """The number of finished trials."""
        return len(self.evaluations)

    def _add(self, found: Evaluation) -> None:
        """Count a finished trial."""
        genes = found.genes.tobytes()
        self.duplicates += genes in self.seen
        self.seen.add(genes)
        self.evaluations.append(found)

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
            found = self.problem.evaluate(genes_of(self.problem, trial.params))
            constraints, text = violations(self.problem, found), self.problem.text(found.genes[0])
            finished = tell(self.live, trial, constraints, text, objectives(found))
            if self.disk is not None:
                store(self.disk, finished)
            self._add(found)
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


def _restored(
    stored: StoredStudy, problem: Problem, path: Path | None
) -> tuple[list[FrozenTrial], list[Evaluation]]:
    """The stored trials and their evaluations; ValueError if a trial is not of this problem."""
    try:
        pairs = [restored(trial, problem) for trial in stored.trials]
    except ValueError as error:
        raise ValueError(f"{path}: {error}. Use another --out") from None
    return [trial for trial, _ in pairs], [found for _, found in pairs]


def _check_identity(stored: StoredStudy, identity: dict[str, Any], path: Path | None) -> None:
    """ValueError if a study with other settings is stored; the message says which."""
    if stored.identity is None:
        return
    differences = "; ".join(
        f"{name}: stored {_short(stored.identity.get(name))}, requested {_short(value)}"
        for name, value in json.loads(json.dumps(identity)).items()
        if value != stored.identity.get(name)
    )
    if differences:
        old, new = (str(each.get("score")) for each in (stored.identity, identity))
        option = ""
        if new != old == CLOSED_FORM.identity:
            option = "--score closed-form, or "
        elif old != new == CLOSED_FORM.identity and old.startswith(NAME):
            option = "--score estimate, or "
        raise ValueError(
            f"{path} was created with other settings ({differences}). Use {option}another --out"
        )


def _short(value: object) -> str:
    return shorten(value, 200).strip("'")
