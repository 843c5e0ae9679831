"""Test cases that every score of genes must pass. Inherit a class in a test file:

class TestMyScore(AdditiveScoreContract):
    space = ShuffleNetV2Space()
    groups = ((0,), (1, 2))

    def score(self, genes):
        return my_score(self.space, genes)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from space.architectures.search_space import Genes, SearchSpace

Floats = NDArray[np.float64]


class ScoreContract(ABC):
    """What a search expects of a score: one finite number for each network, the same every time,
    whatever else is in the array."""

    n: int = 200  # networks that the tests draw

    @property
    @abstractmethod
    def space(self) -> SearchSpace:
        """Where the tests draw networks; a class attribute will do."""

    @abstractmethod
    def score(self, genes: Genes) -> Floats:
        """The score [n] of genes int [n, parameters]."""

    def draw(self, seed: int = 0) -> Genes:
        """Random genes, int16 [n, parameters]."""
        return self.space.sample(self.n, np.random.default_rng(seed))

    def test_each_network_has_one_finite_score(self) -> None:
        scores = self.score(self.draw())
        np.testing.assert_equal(scores.shape, (self.n,))
        np.testing.assert_equal(scores.dtype, np.dtype(np.float64))
        np.testing.assert_array_equal(np.isfinite(scores), True)

    def test_networks_have_different_scores(self) -> None:
        np.testing.assert_array_less(1, len(np.unique(self.score(self.draw()))))

    def test_no_networks_have_no_scores(self) -> None:
        np.testing.assert_equal(self.score(self.draw()[:0]).shape, (0,))

    def test_the_same_genes_have_the_same_bytes_and_stay_unchanged(self) -> None:
        genes = self.draw()
        before = genes.copy()
        np.testing.assert_equal(self.score(genes).tobytes(), self.score(genes).tobytes())
        np.testing.assert_array_equal(genes, before)

    def test_any_integer_type_has_the_same_score(self) -> None:
        genes = self.draw()
        wide: Any = genes.astype(np.int64)
        np.testing.assert_array_equal(self.score(genes), self.score(wide))

    def test_other_networks_in_the_array_do_not_matter(self) -> None:
        genes = self.draw()
        scores, order = self.score(genes), np.random.default_rng(1).permutation(self.n)
        np.testing.assert_allclose(self.score(genes[order]), scores[order], rtol=1e-9)
        np.testing.assert_allclose(self.score(genes[:1]), scores[:1], rtol=1e-9)


class AdditiveScoreContract(ScoreContract):
    """Also: the score, or a monotone function of it, is a sum over groups of parameters.

    Attributes:
        groups: columns of the genes that interact; every column is in one group.
    """

    groups: tuple[tuple[int, ...], ...]

    def additive(self, scores: Floats) -> Floats:
        """What adds up, from the scores [n]; the scores themselves unless overridden."""
        return scores

    def test_the_groups_are_all_columns(self) -> None:
        columns = sorted(column for group in self.groups for column in group)
        np.testing.assert_array_equal(columns, np.arange(len(self.space.parameters)))

    def test_changes_of_one_group_at_a_time_add_up(self) -> None:
        first, second = self.draw(0), self.draw(1)
        base = self.additive(self.score(first))
        total = base.copy()
        for group in self.groups:
            changed = first.copy()
            changed[:, group] = second[:, group]
            total += self.additive(self.score(changed)) - base
        np.testing.assert_allclose(total, self.additive(self.score(second)), rtol=1e-9)
