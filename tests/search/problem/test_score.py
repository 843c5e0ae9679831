"""Every score of a search passes the contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from search.labels.score import score_of
from search.problem.problem import CLOSED_FORM, Problem, Score
from search.problem.testing import SearchScoreContract


@pytest.fixture(scope="module")
def predicted(problem: Problem, tmp_path_factory: pytest.TempPathFactory) -> Score:
    """A score from 20 labels that fall with depth."""
    found = problem.evaluate(problem.space.sample(20, np.random.default_rng(0)))
    accuracy = 50.0 - 2 * found.genes[:, problem.space.position("depth3")]
    folder: Path = tmp_path_factory.mktemp("predictor")
    names = [str(row) for row in found.genes]
    score, comparison = score_of(problem, found, accuracy, stopped=0, names=names, folder=folder)
    assert comparison.better
    return score


class TestClosedForm(SearchScoreContract):
    @pytest.fixture(autouse=True)
    def _given(self, problem: Problem) -> None:
        self.problem, self.score_of_search = problem, CLOSED_FORM


class TestPredicted(SearchScoreContract):
    @pytest.fixture(autouse=True)
    def _given(self, problem: Problem, predicted: Score) -> None:
        self.problem, self.score_of_search = problem, predicted
