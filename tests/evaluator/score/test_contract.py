"""The contract of scores: the closed form keeps it, and scores that break it are found."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evaluator.score.genes import score_genes, terms
from evaluator.score.testing import AdditiveScoreContract
from space.architectures.shufflenet_v2 import ShuffleNetV2Space

SPACE = ShuffleNetV2Space().relaxed(("g1", "g2", "g3", "g4"))


JOINED = [term.columns for term in terms(SPACE)]
UNREAD = set(range(len(SPACE.parameters))) - {column for columns in JOINED for column in columns}


class TestClosedFormIsAScore(AdditiveScoreContract):
    space = SPACE
    groups = (*JOINED, *((column,) for column in UNREAD))

    def score(self, genes: Any) -> Any:
        return score_genes(self.space, genes)


class Chosen(AdditiveScoreContract):
    """A score that a test chooses."""

    space = SPACE
    groups = tuple((column,) for column in range(len(SPACE.parameters)))

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def score(self, genes: Any) -> Any:
        return self.function(genes)


def unsteady(genes: Any, state: list[int] = [0]) -> Any:  # noqa: B006
    state[0] += 1
    return genes.sum(axis=1) + float(state[0])


def changing(genes: Any) -> Any:
    genes[:] = 0
    return np.zeros(len(genes))


@pytest.mark.parametrize(
    ("test", "function"),
    [
        ("each_network_has_one_finite_score", lambda g: g.sum()),
        ("each_network_has_one_finite_score", lambda g: g.sum(axis=1)),
        ("each_network_has_one_finite_score", lambda g: np.full(len(g), np.nan)),
        ("networks_have_different_scores", lambda g: np.zeros(len(g))),
        ("no_networks_have_no_scores", lambda g: np.ones(max(1, len(g)))),
        ("the_same_genes_have_the_same_bytes_and_stay_unchanged", unsteady),
        ("the_same_genes_have_the_same_bytes_and_stay_unchanged", changing),
        ("any_integer_type_has_the_same_score", lambda g: (g * 300).sum(axis=1, dtype=g.dtype)),
        ("other_networks_in_the_array_do_not_matter", lambda g: g.sum(axis=1) - g.mean()),
        ("other_networks_in_the_array_do_not_matter", lambda g: np.arange(len(g)) + 1.0),
        ("changes_of_one_group_at_a_time_add_up", lambda g: g.sum(axis=1) ** 2.0),
    ],
)
def test_a_score_that_breaks_the_contract_fails(test: str, function: Callable[[Any], Any]) -> None:
    with pytest.raises(AssertionError, match=r"(?i)not equal|not strictly ordered"):
        getattr(Chosen(function), f"test_{test}")()


def test_groups_must_hold_every_column() -> None:
    broken = Chosen(lambda genes: genes.sum(axis=1) * 1.0)
    broken.groups = broken.groups[1:]
    with pytest.raises(AssertionError, match="not equal"):
        broken.test_the_groups_are_all_columns()
