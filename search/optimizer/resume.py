"""A resumed search is the same search: Optuna's study in memory as if it had never stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, create_trial

from search.optimizer.sampler import distributions, make_sampler
from search.optimizer.stored import StoredTrial
from search.problem.problem import Evaluation, Problem
from space.architectures.search_space import Genes
from space.common.text import shorten

ARCHITECTURE = "architecture"  # the attribute of a trial


def genes_of(problem: Problem, params: Mapping[str, int]) -> Genes:
    """The genes int16 [1, parameters] of a trial's params."""
    return problem.axes.genes(np.array([[params[axis.name] for axis in problem.axes.axes]]))


def objectives(found: Evaluation) -> list[float]:
    """What a trial of one architecture returns: its score and its latency in seconds."""
    return [float(found.score[0]), float(found.costs.latency_s[0])]


def violations(problem: Problem, found: Evaluation) -> dict[str, float]:
    """Constraint -> violation of one architecture, feasible when <= 0."""
    names = [name for name, _ in problem.constraints]
    return dict(zip(names, found.violations[0].tolist(), strict=True))


def restored(trial: StoredTrial, problem: Problem) -> tuple[FrozenTrial, Evaluation]:
    """A stored trial as one of Optuna's, and its evaluation.

    Raises:
        ValueError: it has other params than this problem, or its values differ from those that
            this problem gives; the message begins with "trial".
    """
    space = distributions(problem)
    if set(trial.params) != set(space):
        odd = sorted(set(trial.params) ^ set(space))[0]
        raise ValueError(f"trial {trial.number} must have one choice of each axis; see `{odd}`")
    for axis in problem.axes.axes:
        stored, known = trial.distributions[axis.name], distribution_to_json(space[axis.name])
        if stored != json.loads(known):
            raise ValueError(
                f"trial {trial.number}: `{axis.name}` must be of {known}; got {shorten(stored)}"
            )
        value = trial.params[axis.name]
        if not float(value).is_integer() or not 0 <= value < axis.size:
            raise ValueError(
                f"trial {trial.number}: `{axis.name}` must be an integer from 0 to "
                f"{axis.size - 1}; got {shorten(value)}"
            )
    params = {name: int(trial.params[name]) for name in space}
    found = problem.evaluate(genes_of(problem, params))
    expected = violations(problem, found)
    if not (
        np.allclose(trial.values, objectives(found), rtol=1e-9, atol=0)
        and set(trial.constraints) == set(expected)
        and all(
            np.isclose(trial.constraints[name], expected[name], atol=1e-9) for name in expected
        )
        and trial.architecture == problem.text(found.genes[0])
    ):
        raise ValueError(
            f"trial {trial.number} has other values under the present space and table of "
            f"{problem.table.header.target}"
        )
    frozen = create_trial(
        params=params,
        distributions=space,
        values=trial.values,
        constraints={name: trial.constraints[name] for name in expected},
        user_attrs={ARCHITECTURE: trial.architecture},
    )
    return frozen, found


def live_study(
    problem: Problem, sampler: str, seed: int, seen: set[bytes], trials: Sequence[FrozenTrial]
) -> optuna.Study:
    """A study in memory that has `trials`, and whose next trial is that of a study which never
    stopped.

    The prescreened sampler depends on the trials and their number alone. Optuna's other samplers
    have a random generator, so they draw the trials again.

    Args:
        seen: genes that the prescreened sampler must not repeat, as bytes.
    """
    live = _new(problem, sampler, seed, seen)
    if sampler != "prescreened" and trials:
        if _drawn_again(live, problem, trials):
            return live
        # An earlier version of this program drew with a new seed after each stop.
        resumed = np.random.SeedSequence([seed, len(trials)]).generate_state(1)[0]
        live = _new(problem, sampler, int(resumed), seen)
    for trial in trials:
        live.add_trial(trial)
    return live


def _new(problem: Problem, sampler: str, seed: int, seen: set[bytes]) -> optuna.Study:
    return optuna.create_study(
        directions=["maximize", "minimize"], sampler=make_sampler(sampler, problem, seed, seen)
    )


def _drawn_again(live: optuna.Study, problem: Problem, trials: Sequence[FrozenTrial]) -> bool:
    """Draw `trials` in `live`; False at the first that differs."""
    space = distributions(problem)
    for stored in trials:
        trial = live.ask(space)
        if trial.params != stored.params:
            return False
        tell(live, trial, stored.constraints, stored.user_attrs[ARCHITECTURE], stored.values)
    return True


def tell(
    live: optuna.Study,
    trial: optuna.Trial,
    constraints: Mapping[str, float],
    architecture: str,
    values: Sequence[float],
) -> FrozenTrial:
    """Finish a trial of a live study."""
    for name, value in constraints.items():
        trial.set_constraint(name, value)
    trial.set_user_attr(ARCHITECTURE, architecture)
    return live.tell(trial, values)
