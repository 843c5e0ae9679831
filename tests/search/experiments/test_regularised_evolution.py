"""Regularised evolution against a trace by hand."""

import numpy as np
import optuna
import pytest
from optuna.distributions import IntDistribution

from search.experiments.regularised_evolution import RegularisedEvolution, mutated
from search.sampling.grid import CandidateGrid

SPACE = {name: IntDistribution(0, 9) for name in "abc"}
ROWS = [(9, 9, 9), (1, 1, 1), (5, 5, 5), (3, 3, 3), (7, 7, 7)]
VALUES = [100.0, 1.0, 2.0, 50.0, 3.0]


def known(direction: str, violated: int | None = None) -> optuna.Study:
    sampler = RegularisedEvolution(SPACE, seed=0, population=3, sample=40)
    study = optuna.create_study(direction=direction, sampler=sampler)
    for place, (row, value) in enumerate(zip(ROWS, VALUES, strict=True)):
        params = dict(zip("abc", row, strict=True))
        trial = optuna.create_trial(params=params, distributions=SPACE, value=value)
        trial.set_constraint("cost", float(place == violated))
        study.add_trial(trial)
    return study


@pytest.mark.parametrize(
    ("direction", "violated", "parent"),
    [
        # Alive are the last three: 2, 50, 3. The best ever, 100, has died.
        ("maximize", None, (3, 3, 3)),
        ("minimize", None, (5, 5, 5)),
        # The 50 breaks the limit: alive are 1, 2, 3.
        ("maximize", 3, (7, 7, 7)),
        ("minimize", 3, (1, 1, 1)),
    ],
)
def test_the_parent(direction: str, violated: int | None, parent: tuple[int, ...]) -> None:
    study = known(direction, violated)
    for _ in range(10):
        child = tuple(study.ask(SPACE).params.values())
        assert sum(a != b for a, b in zip(child, parent, strict=True)) == 1


def test_random_until_there_is_a_population() -> None:
    sampler = RegularisedEvolution(SPACE, seed=1, population=6)
    study = optuna.create_study(sampler=sampler)
    seen = set()
    for _ in range(6):
        trial = study.ask(SPACE)
        seen.add(tuple(trial.params.values()))
        study.tell(trial, 1.0)
    assert len(seen) == 6
    child = tuple(study.ask(SPACE).params.values())
    assert any(sum(a != b for a, b in zip(child, row, strict=True)) == 1 for row in seen)


def test_every_other_choice_is_as_likely() -> None:
    grid = CandidateGrid.of({"a": IntDistribution(0, 3), "b": IntDistribution(5, 5)})
    rng = np.random.default_rng(0)
    drawn = [mutated(np.array([1, 0]), grid, rng).tolist() for _ in range(3000)]
    counts = [drawn.count([choice, 0]) for choice in range(4)]
    assert counts[1] == 0 and min(counts[0], counts[2], counts[3]) > 900
