"""G4Sampler in studies: feasible, never twice, reproducible, and better than chance."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import PartialFixedSampler, RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from search import G4Sampler
from search.sampling import pool
from search.sampling.history import PROPOSAL
from space.common.errors import InfeasibleError

SPACE: dict[str, Any] = {
    "width": IntDistribution(8, 64, step=8),
    "depth": IntDistribution(1, 10),
    "act": CategoricalDistribution(["relu", "swish", None]),
}
LIMIT = 5_000


def flops(candidates: pd.DataFrame) -> pd.Series:
    return candidates["width"] ** 2 * candidates["depth"]


def accuracy(params: dict[str, Any]) -> float:
    """Has interactions, and its best is at the limit."""
    width, depth, act = params["width"], params["depth"], params["act"]
    bonus = {"relu": 0.0, "swish": 1.5, None: -3.0}[act]
    return float(20 * np.log(width) + 12 * np.log(depth) + bonus * np.sqrt(depth))


def all_feasible() -> set[tuple[Any, ...]]:
    """By a slow loop."""
    every = itertools.product(range(8, 65, 8), range(1, 11), ["relu", "swish", None])
    return {row for row in every if row[0] ** 2 * row[1] <= LIMIT}


def limited(**options: Any) -> G4Sampler:
    return G4Sampler(SPACE, **({"costs": flops, "limits": LIMIT, "seed": 0} | options))


def row(trial: Any) -> tuple[Any, ...]:
    return tuple(trial.params[name] for name in SPACE)


def ours(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name.startswith("search")]


def run(study: optuna.Study, n: int, value: Callable[[dict[str, Any]], Any] = accuracy) -> None:
    for _ in range(n):
        trial = study.ask(SPACE)
        study.tell(trial, value(trial.params))


def test_each_feasible_candidate_once_then_repeats(caplog: pytest.LogCaptureFixture) -> None:
    study = optuna.create_study(sampler=limited(limits=600), direction="maximize")
    expected = {r for r in all_feasible() if r[0] ** 2 * r[1] <= 600}
    run(study, len(expected))
    assert {row(trial) for trial in study.trials} == expected
    assert not ours(caplog)
    run(study, 2)
    assert {row(trial) for trial in study.trials} == expected
    assert ours(caplog) == ["every candidate has been tried: a trial is repeated"]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_finds_the_best_of_the_pool(direction: str) -> None:
    study = optuna.create_study(sampler=limited(), direction=direction)
    sign = 1 if direction == "maximize" else -1
    run(study, 30, lambda params: sign * accuracy(params))
    names = list(SPACE)
    best = max(all_feasible(), key=lambda r: accuracy(dict(zip(names, r, strict=True))))
    assert row(study.best_trial) == best
    assert len({row(trial) for trial in study.trials}) == 30
    assert {row(trial) for trial in study.trials} <= all_feasible()


def test_outstanding_asks_differ() -> None:
    study = optuna.create_study(sampler=limited(), direction="maximize")
    first = [study.ask(SPACE) for _ in range(12)]
    for trial in first[:11]:
        study.tell(trial, accuracy(trial.params))
    second = [study.ask(SPACE) for _ in range(12)]
    assert len({row(trial) for trial in first + second}) == 24


def test_threads_never_take_the_same() -> None:
    study = optuna.create_study(sampler=limited(), direction="maximize")
    study.optimize(
        lambda trial: accuracy({n: trial._suggest(n, d) for n, d in SPACE.items()}),
        n_trials=40,
        n_jobs=4,
    )
    assert len({row(trial) for trial in study.trials}) == 40


def work(path: Path, trials: int) -> None:
    """What one worker of several does."""
    storage = JournalStorage(JournalFileBackend(str(path)))
    sampler = limited(startup=6)
    study = optuna.load_study(study_name="s", storage=storage, sampler=sampler)
    run(study, trials)


@pytest.mark.slow
def test_processes_never_take_the_same(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    storage = JournalStorage(JournalFileBackend(str(path)))
    study = optuna.create_study(study_name="s", storage=storage, direction="maximize")
    with ProcessPoolExecutor(4, get_context("spawn")) as workers:
        for ready in [workers.submit(work, path, 12) for _ in range(4)]:
            ready.result()
    assert len({row(trial) for trial in study.trials}) == 48
    assert {row(trial) for trial in study.trials} <= all_feasible()


def test_a_proposal_whose_parameters_are_not_set_yet_is_taken() -> None:
    """Optuna samples when the first parameter is asked for, and stores them one by one."""
    study = optuna.create_study(sampler=limited(), direction="maximize")
    run(study, 12)
    number = study.ask(SPACE).number
    twin = optuna.create_study(sampler=limited(), direction="maximize")
    run(twin, 12)
    expected = row(study.trials[number])
    other = twin.ask()
    params = dict(zip(SPACE, expected, strict=True))
    twin._storage.set_trial_system_attr(other._trial_id, PROPOSAL, params)
    assert row(twin.ask(SPACE)) != expected


def test_another_worker_takes_the_same_at_the_same_moment() -> None:
    """Between the choice and its note in the storage."""
    study = optuna.create_study(sampler=limited(), direction="maximize")
    run(study, 12)
    rival, trial = study.ask(), study.ask()
    write = study._storage.set_trial_system_attr
    written: list[dict[str, Any]] = []

    def write_both(trial_id: int, name: str, value: Any) -> None:
        if name == PROPOSAL and not written:
            write(rival._trial_id, name, value)
        written.append(value)
        write(trial_id, name, value)

    study._storage.set_trial_system_attr = write_both  # type: ignore[method-assign]
    for name, distribution in SPACE.items():
        trial._suggest(name, distribution)
    assert len(written) == 2
    assert trial.params == written[1] != written[0]


@pytest.mark.slow
def test_a_study_from_storage_asks_the_same(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    options: dict[str, Any] = {"direction": "maximize", "study_name": "s", "storage": storage}
    whole = optuna.create_study(sampler=limited(), direction="maximize")
    run(whole, 45)
    run(optuna.create_study(sampler=limited(), **options), 43)
    again = optuna.load_study(study_name="s", storage=storage, sampler=limited())
    run(again, 2)
    assert [row(t) for t in again.trials] == [row(t) for t in whole.trials]


def test_seeds() -> None:
    found = []
    for seed in (1, 1, 2, None):
        study = optuna.create_study(sampler=limited(seed=seed), direction="maximize")
        run(study, 14)
        found.append([row(trial) for trial in study.trials])
    assert found[0] == found[1] != found[2]


def test_failed_pruned_and_enqueued_are_not_proposed() -> None:
    study = optuna.create_study(sampler=limited(limits=600), direction="maximize")
    total = len([r for r in all_feasible() if r[0] ** 2 * r[1] <= 600])
    study.enqueue_trial({"width": 8, "depth": 3, "act": "relu"})
    failed, pruned = study.ask(SPACE), study.ask(SPACE)
    assert row(failed) == (8, 3, "relu")
    study.tell(failed, state=TrialState.FAIL)
    study.tell(pruned, state=TrialState.PRUNED)
    waiting = {"width": 8, "depth": 4, "act": "swish"}
    study.enqueue_trial(waiting)
    beside = limited(limits=600)
    seen = {row(failed), row(pruned), tuple(waiting.values())}
    run(study, 1)  # the enqueued one
    study.sampler = beside
    for _ in range(total - 3):
        trial = study.ask(SPACE)
        assert row(trial) not in seen
        seen.add(row(trial))
        study.tell(trial, accuracy(trial.params))
    assert len(seen) == total


@pytest.mark.parametrize("listed", [True, False])
def test_an_enqueued_part_is_completed_within_the_limit(
    listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not listed:
        monkeypatch.setattr(pool, "ENUMERATED", 10)
    study = optuna.create_study(sampler=limited(), direction="maximize")
    run(study, 12)
    for width in (64, 56, 48):
        study.enqueue_trial({"width": width})
        trial = study.ask(SPACE)
        assert trial.params["width"] == width
        assert row(trial) in all_feasible()


def test_an_enqueued_part_that_no_candidate_has(caplog: pytest.LogCaptureFixture) -> None:
    study = optuna.create_study(sampler=limited(limits=600), direction="maximize")
    study.enqueue_trial({"width": 64})
    assert study.ask(SPACE).params["width"] == 64
    assert ours(caplog) == [
        "nothing new within the limits has the enqueued parameters of some trial; it may exceed "
        "them"
    ]


def test_infinite_values_and_equal_values() -> None:
    study = optuna.create_study(sampler=limited(), direction="maximize")
    values = iter([float("-inf"), float("inf"), 1.0, 2.0, *[1.0] * 11])
    run(study, 15, lambda _: next(values))
    flat = optuna.create_study(sampler=limited())
    run(flat, 15, lambda _: 7.0)
    for each in (study, flat):
        assert len({row(trial) for trial in each.trials}) == 15


def front_size(study: optuna.Study) -> int:
    """How much of the true front of (accuracy, FLOPs) was found."""
    names = list(SPACE)
    points = {
        r: (accuracy(dict(zip(names, r, strict=True))), r[0] ** 2 * r[1]) for r in all_feasible()
    }
    front = {
        r
        for r, (a, f) in points.items()
        if not any((b >= a and g < f) or (b > a and g <= f) for b, g in points.values())
    }
    return len(front & {row(trial) for trial in study.trials})


def test_two_objectives() -> None:
    found = {}
    for name in ("ours", "random"):
        sampler = limited() if name == "ours" else RandomSampler(seed=0)
        study = optuna.create_study(sampler=sampler, directions=["maximize", "minimize"])
        run(study, 40, lambda p: (accuracy(p), p["width"] ** 2 * p["depth"]))
        found[name] = front_size(study)
    assert found["ours"] >= 2 * found["random"]


def test_measured_constraints() -> None:
    """What only an evaluation tells: here, no network deeper than 4 meets it."""
    study = optuna.create_study(sampler=limited(), direction="maximize")
    met = []
    for _ in range(35):
        trial = study.ask(SPACE)
        trial.set_constraint("memory", trial.params["depth"] - 4.5)
        met.append(trial.params["depth"] <= 4)
        study.tell(trial, accuracy(trial.params))
    names = list(SPACE)
    best = max(
        (r for r in all_feasible() if r[1] <= 4),
        key=lambda r: accuracy(dict(zip(names, r, strict=True))),
    )
    assert row(study.best_trial) == best
    assert sum(met[15:]) >= 15


def test_nothing_meets_a_measured_constraint() -> None:
    study = optuna.create_study(sampler=limited(), direction="maximize")
    for _ in range(14):
        trial = study.ask(SPACE)
        trial.set_constraint("never", 1.0 + trial.params["depth"])
        study.tell(trial, 1.0)
    assert len({row(trial) for trial in study.trials}) == 14


def test_prior() -> None:
    """A right one helps, and labels overrule a wrong one."""

    def right(candidates: pd.DataFrame) -> list[float]:
        return [accuracy(each) for each in candidates.to_dict("records")]

    names = list(SPACE)
    best = max(all_feasible(), key=lambda r: accuracy(dict(zip(names, r, strict=True))))
    study = optuna.create_study(sampler=limited(prior=right, startup=5), direction="maximize")
    run(study, 8)
    assert row(study.best_trial) == best
    wrong = limited(prior=lambda c: [-a for a in right(c)], startup=5)
    study = optuna.create_study(sampler=wrong, direction="maximize")
    run(study, 40)
    assert row(study.best_trial) == best


def test_only_listed_candidates() -> None:
    listed = pd.DataFrame(
        [(8, 1, "relu"), (16, 2, None), (64, 10, "relu"), (8, 1, "relu"), (24, 3, "swish")],
        columns=list(SPACE),
    )
    study = optuna.create_study(sampler=limited(candidates=listed), direction="maximize")
    run(study, 3)
    assert {row(t) for t in study.trials} == {(8, 1, "relu"), (16, 2, None), (24, 3, "swish")}


LARGE = {f"x{i}": IntDistribution(1, 50) for i in range(20)}


def total(candidates: pd.DataFrame) -> pd.Series:
    return candidates.sum(axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [200, 40, 21])
def test_a_space_too_large_to_list(limit: int) -> None:
    """At 40, one candidate in 10^24 is feasible; at 21 there are 21 of 10^34."""
    sampler = G4Sampler(LARGE, costs=total, limits=limit, seed=0)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    for _ in range(21):
        trial = study.ask(LARGE)
        assert sum(trial.params.values()) <= limit
        study.tell(trial, float(sum(i * trial.params[f"x{i}"] for i in range(20))))
    assert len({tuple(t.params.values()) for t in study.trials}) == 21
    if limit == 21:
        assert study.best_value == 190 + 19


def test_without_a_space(caplog: pytest.LogCaptureFixture) -> None:
    """Optuna infers it; floats stay random, and a line says so."""

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_int("x", 0, 40)
        return -abs(x - 31) + 0 * trial.suggest_float("lr", 0, 1)

    study = optuna.create_study(sampler=G4Sampler(seed=0), direction="maximize")
    study.optimize(objective, n_trials=25)
    assert study.best_params["x"] == 31
    assert len({trial.params["x"] for trial in study.trials}) >= 24
    assert ours(caplog) == [
        "parameter `lr` is drawn at random: it is not in the space of G4Sampler, which has "
        "integers and categories"
    ]


def test_fixing_a_parameter_is_refused_where_costs_need_it() -> None:
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        sampler = PartialFixedSampler({"depth": 2}, limited())
    study = optuna.create_study(sampler=sampler)
    with pytest.raises(ValueError, match="must sample its whole space; `depth` is not"):
        study.ask(SPACE)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"space": {"lr": FloatDistribution(0, 1)}}, ValueError, "`lr` must be an IntDistrib"),
        ({"space": {}}, ValueError, "at least one parameter; got none"),
        ({"space": {"x": 3}}, TypeError, "`x` must be an Optuna distribution; got int"),
        ({"space": {"x": IntDistribution(0, 2**63)}}, ValueError, "fewer than 2.63 choices"),
        ({"space": None}, ValueError, "need `space`; got none"),
        ({"limits": None, "costs": 3}, TypeError, "`costs` must be a function; got int"),
        ({"costs": None}, ValueError, "`limits` are of `costs`"),
        ({"limits": "5"}, TypeError, "limit of `cost` must be a number; got '5'"),
        ({"limits": True}, TypeError, "limit of `cost` must be a number; got True"),
        ({"limits": float("nan")}, ValueError, "limit of `cost` must be finite; got nan"),
        ({"limits": 63}, InfeasibleError, "the nearest has `cost` 64 over 63: .*'width': 8"),
        ({"costs": lambda c: [1.0]}, ValueError, r"each of 240 candidates; `cost` has shape \(1,"),
        ({"costs": lambda c: c}, ValueError, "`act` is "),
        ({"costs": lambda c: ["a"] * len(c)}, ValueError, "must return numbers; `cost` is"),
        ({"costs": lambda c: c["width"] * np.nan}, ValueError, "finite numbers; `cost` has NaN"),
        (
            {"costs": lambda c: {"a": c["width"]}, "limits": {"b": 1}},
            ValueError,
            "every cost that has a limit; `b` is missing of a",
        ),
        ({"candidates": [[8, 1]]}, ValueError, r"must be \[n, 3\]; got shape \(1, 2\)"),
        ({"candidates": pd.DataFrame({"width": [8]})}, ValueError, "must have a column `depth`"),
        ({"candidates": [[9, 1, "relu"]]}, ValueError, "`width` must be of .*; got 9"),
        ({"candidates": [["x", 1, "relu"]]}, ValueError, "`width` must be of .*; got 'x'"),
        ({"candidates": np.empty((0, 3))}, InfeasibleError, "there is no candidate"),
        ({"startup": 0}, ValueError, "`startup` must be at least 1; got 0"),
        ({"seed": -1}, ValueError, "`seed` must be from 0 to 4294967295; got -1"),
    ],
)
def test_bad_input(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        G4Sampler(**({"space": SPACE, "costs": flops, "limits": LIMIT} | options))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (lambda c: [1.0], r"`prior` must return \[\d+\]; got shape \(1,\)"),
        (lambda c: ["a"] * len(c), "`prior` must return numbers"),
        (lambda c: c["width"] * np.nan, "`prior` must return finite numbers"),
    ],
)
def test_bad_prior(prior: Any, message: str) -> None:
    study = optuna.create_study(sampler=limited(prior=prior))
    with pytest.raises(ValueError, match=message):
        study.ask(SPACE)
