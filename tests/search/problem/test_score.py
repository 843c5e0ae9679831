"""Every score of a search passes the contract of scores, and has words for people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluator.score.testing import Floats, Genes, ScoreContract
from search.labels.score import score_of
from search.problem.estimate_score import with_estimate
from search.problem.problem import CLOSED_FORM, Problem, Score
from space.architectures.shufflenet_v2 import ShuffleNetV2Space


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


class SearchScoreContract(ScoreContract):
    """`score_of_search` is the score under test."""

    problem: Problem
    score_of_search: Score

    @property
    def space(self) -> ShuffleNetV2Space:
        return self.problem.space

    def score(self, genes: Genes) -> Floats:
        rows = np.asarray(genes, dtype=np.int16)
        costs = self.problem.model.costs(rows)
        return self.score_of_search(self.problem.space, rows, costs)

    def test_words_are_one_line_each(self) -> None:
        score = self.score_of_search
        for text in (score.identity, score.label, score.line):
            assert text
            assert "\n" not in text
        assert score.line.startswith("score: ")

    def test_it_is_the_score_of_a_problem_and_of_its_identity(self) -> None:
        problem = replace(self.problem, score=self.score_of_search)
        genes = self.draw()
        assert (problem.evaluate(genes).score == self.score(genes)).all()
        assert problem.identity["score"] == self.score_of_search.identity


class TestClosedForm(SearchScoreContract):
    @pytest.fixture(autouse=True)
    def _set_up(self, problem: Problem) -> None:
        self.problem, self.score_of_search = problem, CLOSED_FORM


class TestEstimate(SearchScoreContract):
    @pytest.fixture(autouse=True)
    def _set_up(self, problem: Problem) -> None:
        estimated = with_estimate(problem, recipe="megvii", optimism=0.25)
        self.problem, self.score_of_search = problem, estimated.score


class TestPredicted(SearchScoreContract):
    @pytest.fixture(autouse=True)
    def _set_up(self, problem: Problem, predicted: Score) -> None:
        self.problem, self.score_of_search = problem, predicted
