"""Test cases that every score of a search must pass. Inherit the class in a test file:

class TestMyScore(SearchScoreContract):
    problem = Problem(ShuffleNetV2Space(), load_table("arm"), parse_budgets(["146M"]))
    score_of_search = MyScore()
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evaluator.score.testing import Floats, Genes, ScoreContract
from search.problem.problem import Problem, Score
from space.architectures.shufflenet_v2 import ShuffleNetV2Space


class SearchScoreContract(ScoreContract):
    """What a search expects of its score: that of `ScoreContract`, and words for people.

    Attributes:
        problem: what is searched.
        score_of_search: the score under test.
    """

    problem: Problem
    score_of_search: Score

    @property
    def space(self) -> ShuffleNetV2Space:
        """Where the tests draw networks."""
        return self.problem.space

    def score(self, genes: Genes) -> Floats:
        rows = np.asarray(genes, dtype=np.int16)
        costs = self.problem.model.costs(rows)
        return self.score_of_search(self.problem.space, rows, costs)

    def test_words_are_one_line_each(self) -> None:
        score = self.score_of_search
        for text in (score.identity, score.label, score.line):
            assert text and "\n" not in text, text
        assert score.line.startswith("score: "), score.line

    def test_it_is_the_score_of_a_problem_and_of_its_identity(self) -> None:
        problem = replace(self.problem, score=self.score_of_search)
        genes = self.draw()
        assert (problem.evaluate(genes).score == self.score(genes)).all()
        assert problem.identity["score"] == self.score_of_search.identity
