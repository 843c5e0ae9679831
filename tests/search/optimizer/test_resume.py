"""A search that stops and goes on is the search that never stops, wherever it stops."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.samplers import NSGAIISampler

from search.optimizer import SAMPLERS
from search.optimizer.sampler import POPULATION, PrescreenedNSGAII, ResumableNSGAII
from search.optimizer.storage import open_study
from search.optimizer.study import Study, finished_study
from search.problem.problem import Problem

TRIALS = 3 * POPULATION + 12
EDGES = (1, 2, POPULATION - 1, POPULATION, POPULATION + 1, 60, 2 * POPULATION, 2 * POPULATION + 1)
RANDOM = tuple(random.Random(14).sample(range(1, TRIALS - 6), 12))


def _genes(study: Study) -> list[bytes]:
    return [found.genes.tobytes() for found in study.evaluations]


@pytest.fixture(scope="module")
def finished(problem: Problem, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    """A study of the prescreened sampler that never stopped, and its file."""
    path = tmp_path_factory.mktemp("finished") / "study.db"
    return path, finished_study(problem, TRIALS, path=path)


def _cut(source: Path, trials: int, path: Path) -> Path:
    """A copy of a study as it was after `trials` trials."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(path)) as new:
        old.backup(new)
        for table in ("values", "params", "user_attributes", "system_attributes"):
            new.execute(f"DELETE FROM trial_{table} WHERE trial_id > ?", (trials,))
        new.execute("DELETE FROM trials WHERE trial_id > ?", (trials,))
        new.commit()
    return path


@pytest.mark.parametrize("stop", [*EDGES, *RANDOM])
def test_the_next_trials_do_not_depend_on_a_stop(
    stop: int, finished: tuple[Path, Study], problem: Problem, tmp_path: Path
) -> None:
    source, straight = finished
    path = _cut(source, stop, tmp_path / "study.db")
    resumed = finished_study(problem, stop + 4, path=path)
    assert _genes(resumed) == _genes(straight)[: stop + 4]


@pytest.mark.slow
@pytest.mark.parametrize("pattern", range(20))
def test_random_stops(pattern: int, problem: Problem, tmp_path: Path) -> None:
    rng = random.Random(pattern)
    sampler = SAMPLERS[0] if pattern < 12 else SAMPLERS[pattern % len(SAMPLERS)]
    stops = sorted(rng.sample(range(1, TRIALS), rng.randint(1, 5)))
    for stop in (*stops, TRIALS):
        study = finished_study(
            problem, stop, seed=pattern, sampler=sampler, path=tmp_path / "study.db"
        )
    straight = finished_study(problem, TRIALS, seed=pattern, sampler=sampler)
    assert _genes(study) == _genes(straight)
    assert study.duplicates == straight.duplicates
    numbers = [trial.number for trial in study.live.get_trials()]
    assert numbers == list(range(TRIALS))


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS[1:])
def test_samplers_with_a_random_generator(sampler: str, problem: Problem, tmp_path: Path) -> None:
    for stop in (7, POPULATION + 3, POPULATION + 4, 70):
        study = finished_study(problem, stop, sampler=sampler, path=tmp_path / "study.db")
    assert _genes(study) == _genes(finished_study(problem, 70, sampler=sampler))


class OptunasOwn(PrescreenedNSGAII):
    """With the generations and parents that Optuna keeps in the study."""

    get_trial_generation = NSGAIISampler.get_trial_generation
    get_population = NSGAIISampler.get_population
    get_parent_population = NSGAIISampler.get_parent_population


def test_generations_are_optunas(finished: tuple[Path, Study], problem: Problem) -> None:
    """A study that never stops has the trials of Optuna's own bookkeeping."""
    seen: set[bytes] = set()
    live = optuna.create_study(
        directions=["maximize", "minimize"], sampler=OptunasOwn(problem, 0, seen)
    )
    study = Study(problem, 0, "prescreened", live, None, seen)
    assert list(study.run(TRIALS))[-1] == TRIALS
    assert _genes(study) == _genes(finished[1])


def test_nsga2_is_optunas(problem: Problem) -> None:
    sampler = NSGAIISampler(seed=3, population_size=POPULATION)
    live = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study = Study(problem, 3, "nsga2", live, None, set())
    assert list(study.run(TRIALS))[-1] == TRIALS
    assert _genes(study) == _genes(finished_study(problem, TRIALS, seed=3, sampler="nsga2"))


def test_a_thousand_generations() -> None:
    """More than Python's stack holds: a search of 50,000 trials goes on too."""
    sampler = ResumableNSGAII(0, population=2)
    live = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for number in range(2200):
        live.add_trial(optuna.trial.create_trial(values=[number, number], constraints={"a": -1.0}))
    parents = sampler.get_parent_population(live, 1100)
    assert [trial.number for trial in parents] == [2199, 0]  # the ends of the front


@pytest.mark.parametrize("sampler", ["nsga2", "random"])
def test_studies_that_drew_with_a_new_seed_after_a_stop_go_on(
    sampler: str, problem: Problem, tmp_path: Path
) -> None:
    """As earlier versions did: their trials are not those of the seed."""
    path = tmp_path / "study.db"
    first, other = (finished_study(problem, 5, seed=seed, sampler=sampler) for seed in (0, 1))
    Study.open(problem, sampler=sampler, path=path)
    disk = open_study(path, None)
    stored = first.live.get_trials()[:3] + other.live.get_trials()[:2]
    for trial in stored:
        disk.add_trial(trial)
    resumed = finished_study(problem, 8, sampler=sampler, path=path)
    assert _genes(resumed)[:5] == _genes(first)[:3] + _genes(other)[:2]
    assert len(set(_genes(resumed))) == 8


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_cannot_be_used_begins_no_study(
    seed: int, problem: Problem, tmp_path: Path
) -> None:
    path = tmp_path / "study.db"
    with pytest.raises(ValueError, match=f"--seed must be from 0 to 4294967295; got {seed}"):
        Study.open(problem, seed=seed, path=path)
    with pytest.raises(ValueError, match="sampler must be one of"):
        Study.open(problem, sampler="pso", path=path)
    assert not path.exists()
