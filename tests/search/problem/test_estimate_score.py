"""The estimate as a score, against `evaluator.estimate` and sums over single networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluator.estimate.axes import features
from evaluator.estimate.networks import estimate_accuracy, shipped_model
from latency.table.op_model import OpCostModel
from search.problem.baseline import baseline
from search.problem.budget import parse_budgets
from search.problem.estimate_score import EstimateScore, why_no_estimate, with_estimate
from search.problem.problem import Floats, Problem
from space.architectures.search_space import Genes
from space.architectures.shufflenet_v2 import ShuffleNetV2Space

PAPER = "shufflenet_v2 stem=24 width=116,232,464 depth=4,8,4 split=1/2,1/2,1/2"
NARROW_STEM = PAPER.replace("stem=24", "stem=8") + " kernel=3,3,3 head=1024"
LATE_KERNEL = f"{PAPER} kernel=3,3,5 head=1024"


def _scored(problem: Problem, **options: object) -> EstimateScore:
    values = {"recipe": "torchvision", "optimism": 0.0, **options}
    score = with_estimate(problem, **values).score  # type: ignore[arg-type]
    assert isinstance(score, EstimateScore)
    return score


@pytest.fixture(scope="module")
def genes(space: ShuffleNetV2Space) -> Genes:
    return space.sample(3000, np.random.default_rng(0))


def _of(score: EstimateScore, problem: Problem, genes: Genes) -> Floats:
    return score(problem.space, genes, problem.model.costs(genes))


@pytest.mark.parametrize("recipe", ["torchvision", "megvii"])
def test_without_caution_it_is_the_mean(problem: Problem, genes: Genes, recipe: str) -> None:
    score = _scored(problem, recipe=recipe, optimism=1.0)
    expected = shipped_model(recipe).estimate(genes).mean
    np.testing.assert_allclose(_of(score, problem, genes), expected, rtol=1e-12)


@pytest.mark.parametrize("optimism", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_the_baseline_keeps_its_estimate(problem: Problem, optimism: float) -> None:
    found = baseline(with_estimate(problem, recipe="torchvision", optimism=optimism))
    assert found is not None
    assert found.score == pytest.approx(estimate_accuracy("ShuffleNet v2 1.0x").mean, rel=1e-12)


def test_a_standard_deviation_is_that_of_the_difference(problem: Problem, genes: Genes) -> None:
    score, model = _scored(problem), shipped_model("torchvision")
    apart = features(model.space, genes) - features(model.space, score.base)
    for row in range(0, len(genes), 300):
        covariance = model.axes.factors @ model.axes.factors.T + np.diag(model.axes.diagonal)
        sd = float(np.sqrt(apart[row] @ covariance @ apart[row]))
        worth = float(model.score(genes[row : row + 1])[0]) - sd
        found = float(_of(score, problem, genes[row : row + 1])[0])
        assert score.worth(found) == pytest.approx(worth, abs=1e-9)


def test_more_optimism_is_never_less(problem: Problem, genes: Genes) -> None:
    cautious, plain, bold = (_of(_scored(problem, optimism=x), problem, genes) for x in (0, 1, 2))
    assert (cautious < plain).all()
    assert (plain < bold).all()


def test_what_no_source_varies_must_be_worth_its_uncertainty(problem: Problem) -> None:
    """A stem of 8 loses twice its worth; a kernel of 5 in the last stage stays a gain."""
    base = estimate_accuracy("ShuffleNet v2 1.0x").mean
    stem, kernel = (
        float(
            _of(_scored(problem), problem, np.array([problem.space.parse(t).genes], np.int16))[0]
        )
        for t in (NARROW_STEM, LATE_KERNEL)
    )
    lost = base - estimate_accuracy(NARROW_STEM).mean
    assert base - stem == pytest.approx(2 * lost, rel=0.05)
    assert base < kernel < estimate_accuracy(LATE_KERNEL).mean


def test_many_networks_score_as_each_alone(problem: Problem, genes: Genes) -> None:
    score = _scored(problem)
    alone = [_of(score, problem, row[None])[0] for row in genes[:100]]
    np.testing.assert_allclose(_of(score, problem, genes)[:100], alone, rtol=1e-14)


@pytest.mark.parametrize("top1", [1.0, 55.0, 69.28, 76.0, 90.0])
def test_worth_is_the_inverse_of_top1(problem: Problem, top1: float) -> None:
    score = _scored(problem)
    assert float(score.top1(np.array([score.worth(top1)]))[0]) == pytest.approx(top1, abs=1e-9)


def test_identity(problem: Problem, space: ShuffleNetV2Space, arm: OpCostModel) -> None:
    larger = Problem(space, arm, parse_budgets(["299M"]))
    found = {
        _scored(problem).identity,
        _scored(problem, optimism=0.5).identity,
        _scored(problem, recipe="megvii").identity,
        _scored(larger).identity,
    }
    assert len(found) == 4
    assert _scored(problem).identity == _scored(problem).identity


def test_words(problem: Problem) -> None:
    said = {
        -1: " less 2 standard deviations of the difference to the baseline (--optimism -1)",
        0: " less 1 standard deviation of the difference to the baseline (--optimism 0)",
        0.5: " less 0.5 standard deviations of the difference to the baseline (--optimism 0.5)",
        1: ", nothing taken off for what is uncertain (--optimism 1)",
        2: " plus 1 standard deviation of the difference to the baseline (--optimism 2)",
        3: " plus 2 standard deviations of the difference to the baseline (--optimism 3)",
    }
    for optimism, words in said.items():
        line = _scored(problem, optimism=optimism).line
        assert line == f"score: estimated ImageNet top-1{words}; winners are chosen by it"
    labels = [_scored(problem, optimism=x).label for x in (-1, 0, 1, 2)]
    assert labels == [
        "score: estimated ImageNet top-1 in % less 2 standard deviations",
        "score: estimated ImageNet top-1 in % less 1 standard deviation",
        "score: estimated ImageNet top-1 in %",
        "score: estimated ImageNet top-1 in % plus 1 standard deviation",
    ]


def test_below_any_shufflenet_the_smallest_of_the_paper_is_the_baseline(
    space: ShuffleNetV2Space, arm: OpCostModel
) -> None:
    tiny = Problem(space, arm, parse_budgets(["5M"]))
    assert baseline(tiny) is None
    assert "width=48,96,192" in _scored(tiny).identity


@pytest.mark.parametrize(
    ("problem_of", "message"),
    [
        (lambda p: replace(p, space=ShuffleNetV2Space(height=160, width=160)), "160x160"),
        (lambda p: replace(p, space=ShuffleNetV2Space(classes=10)), "10 classes"),
        (lambda p: replace(p, relax=("g1", "g4")), "axes that break G1 and G4"),
    ],
)
def test_networks_without_an_estimate(problem_of, message, problem: Problem) -> None:  # type: ignore[no-untyped-def]
    other = problem_of(problem)
    assert message in why_no_estimate(other)
    with pytest.raises(ValueError, match=message):
        with_estimate(other, recipe="torchvision", optimism=0)
    assert why_no_estimate(problem) == ""


def test_a_recipe_that_the_curve_does_not_know(problem: Problem) -> None:
    with pytest.raises(ValueError, match="the recipe must be one of torchvision"):
        with_estimate(problem, recipe="timm", optimism=0)
