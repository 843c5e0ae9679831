"""Estimates of networks against slow loops, hand counts and what must hold."""

import math
import time

import numpy as np
import pytest
from scipy.stats import t

from evaluator import AccuracyEstimate, estimate_accuracy, estimate_genes
from evaluator.estimate import RECIPES
from evaluator.estimate.axes import NAMES, features, paper_genes
from evaluator.estimate.model import AccuracyModel
from evaluator.estimate.networks import shipped_model
from evaluator.estimate.stored import shipped
from evaluator.score.testing import AdditiveScoreContract
from space.architectures.search_space import Architecture
from space.architectures.shufflenet_v2 import ShuffleNetV2Space

SPACE = ShuffleNetV2Space()
TEXT = (
    "shufflenet_v2 stem=24 width=96,212,512 depth=4,8,6 split=1/2,1/2,5/8 kernel=3,5,7 head=1280"
)


class TestScore(AdditiveScoreContract):
    space = SPACE
    groups = tuple((column,) for column in range(len(SPACE.parameters)))

    def score(self, genes):
        return shipped_model("torchvision").score(genes)


def slow(text: str, recipe: str, level: float) -> dict[str, float]:
    """The estimate of one network, with loops over features and knots."""
    model = shipped_model(recipe)
    axes, curve = model.axes, model.curve
    arch = SPACE.parse(text)
    own = features(SPACE, np.array([arch.genes], dtype=np.int16))[0]
    flops = SPACE.lower(arch).flops
    paper = paper_genes(SPACE)
    knots = []
    for row in paper:
        network = SPACE.lower(Architecture(SPACE.name, tuple(int(gene) for gene in row)))
        size = features(SPACE, row[None])[0]
        score = sum(c * f for c, f in zip(axes.coefficients, size, strict=True))
        knots.append((math.log(network.flops), score, size))

    def between(at: float, key: int, value: int):
        index = max(i for i in range(3) if i == 0 or knots[i][key] < at)
        low, high = knots[index], knots[index + 1]
        share = (at - low[key]) / (high[key] - low[key])
        return low[value] + share * (high[value] - low[value])

    def top1(log_flops: float) -> float:
        a, b, c = curve.coefficients
        x = log_flops - math.log(144_907_992)
        return a + b * x + c * x**2

    score = sum(c * f for c, f in zip(axes.coefficients, own, strict=True))
    equal, here = between(score, 1, 0), math.log(flops)
    apart = own - between(here, 0, 2)
    gap = sum(c * d for c, d in zip(axes.coefficients, apart, strict=True))
    unit = (top1(equal) - top1(here)) / gap
    variance = sum(axes.diagonal[i] * apart[i] ** 2 for i in range(len(NAMES)))
    for factor in range(axes.factors.shape[1]):
        variance += sum(axes.factors[i, factor] * apart[i] for i in range(len(NAMES))) ** 2
    x = equal - math.log(144_907_992)
    row = np.array([1, x, x**2])
    own_variance = curve.noise**2 * (1 + row @ curve.inverse @ row)
    y = here - math.log(144_907_992)
    row = row - np.array([1, y, y**2])
    sd = math.sqrt(own_variance + unit**2 * variance)
    factor = t.ppf(0.5 + level / 2, min(curve.df, model.effects.df))
    return {
        "mean": top1(equal),
        "sd": sd,
        "low": top1(equal) - factor * sd,
        "high": top1(equal) + factor * sd,
        "difference": top1(equal) - top1(here),
        "difference_sd": math.sqrt(
            unit**2 * variance + curve.noise**2 * (row @ curve.inverse @ row)
        ),
    }


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_estimate_equals_a_slow_loop(recipe):
    found = estimate_accuracy(TEXT, recipe=recipe, level=0.8)
    expected = slow(TEXT, recipe, 0.8)
    assert {name: getattr(found, name) for name in expected} == pytest.approx(expected, rel=1e-6)
    assert (found.recipe, found.level) == (recipe, 0.8)


def test_arrays_equal_one_at_a_time():
    genes = SPACE.sample(20, np.random.default_rng(0))
    found = estimate_genes(genes, recipe="megvii")
    for row, one in enumerate(genes):
        arch = Architecture(SPACE.name, tuple(int(gene) for gene in one))
        alone = estimate_accuracy(SPACE.lower(arch), recipe="megvii")
        for name in ("mean", "low", "high", "sd", "difference", "difference_sd"):
            assert getattr(found, name)[row] == pytest.approx(getattr(alone, name))
        for axis, (points, sd) in alone.by_axis.items():
            assert found.by_axis[axis][0][row] == pytest.approx(points)
            assert found.by_axis[axis][1][row] == pytest.approx(sd)


@pytest.mark.parametrize("recipe", RECIPES)
def test_published_networks_are_on_their_curve(recipe):
    """They are ShuffleNet v2 of their own FLOPs: no difference, and no doubt about it."""
    found = estimate_genes(paper_genes(SPACE), recipe=recipe)
    assert found.difference == pytest.approx(np.zeros(4), abs=1e-9)
    assert found.difference_sd == pytest.approx(np.zeros(4), abs=1e-9)
    assert (found.high - found.low < 1.2).all()
    flops, top1 = shipped().points[recipe]
    published = dict(zip(flops, top1, strict=True))
    counts = [SPACE.lower(Architecture(SPACE.name, tuple(map(int, row)))).flops
              for row in paper_genes(SPACE)]  # fmt: skip
    for index, count in enumerate(counts):
        if count in published:
            assert found.low[index] < published[count] < found.high[index]


def test_parts_by_axis_add_up_to_the_difference():
    genes = SPACE.sample(300, np.random.default_rng(1))
    found = estimate_genes(genes)
    total = sum(points for points, _ in found.by_axis.values())
    assert total == pytest.approx(found.difference, abs=1e-9)
    assert list(found.by_axis) == [
        "stem", "width2", "depth2", "split2", "kernel2", "width3", "depth3", "split3", "kernel3",
        "width4", "depth4", "split4", "kernel4", "head",
    ]  # fmt: skip


def test_a_difference_is_narrower_than_the_estimates_and_zero_to_itself():
    genes = SPACE.sample(300, np.random.default_rng(2))
    found = estimate_genes(genes)
    assert (found.difference_sd < found.sd).mean() > 0.95
    itself = estimate_accuracy(TEXT, baseline=TEXT)
    assert itself.difference == 0 and itself.difference_sd == 0
    other = estimate_accuracy(TEXT, baseline="ShuffleNet v2 1.0x")
    base = estimate_accuracy("ShuffleNet v2 1.0x")
    assert other.difference == pytest.approx(other.mean - base.mean)
    assert 0 < other.difference_sd < math.hypot(other.sd, base.sd)


def test_the_higher_score_has_the_higher_estimate():
    genes = SPACE.sample(2000, np.random.default_rng(3))
    for recipe in RECIPES:
        model = shipped_model(recipe)
        order = np.argsort(model.score(genes))
        assert (np.diff(model.estimate(genes).mean[order]) > 0).all()


def test_a_small_stem_has_a_price_in_certainty():
    small = SPACE.point((116, 232, 464), stem=8)
    found = estimate_accuracy(small)
    points, sd = found.by_axis["stem"]
    assert points < 0 and sd == pytest.approx(-points)
    assert abs(found.difference) < 0.2 and found.difference_sd > 0.4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": TEXT, "recipe": "tf"}, "must be one of torchvision, .*gluon-b; got 'tf'"),
        ({"network": "MobileNet v1 1.0"}, "the estimate knows .*has separable"),
        ({"network": "no such"}, "unknown network 'no such'"),
        ({"network": TEXT, "level": 1.0}, "`level` must be between 0 and 1; got 1"),
        ({"network": TEXT, "baseline": "ResNet-50"}, "the estimate knows"),
        ({"network": f"{TEXT} groups=2"}, "`groups` must be 1; got 2"),
        ({"network": "shufflenet_v2 stem=24"}, "`width2` is missing"),
        ({"network": Architecture("other", (0,))}, "architecture"),
    ],
)
def test_what_cannot_be_estimated_is_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$"):
        estimate_accuracy(**arguments)


@pytest.mark.parametrize("genes", [[[0.5] * 19], [0] * 19, [["a"] * 19]])
def test_genes_of_another_kind_are_refused(genes):
    with pytest.raises(ValueError, match="genes must be"):
        estimate_genes(genes)


@pytest.mark.parametrize("fields", [{"height": 32, "width": 32}, {"classes": 10}, {"channels": 1}])
def test_other_inputs_are_refused(fields):
    fitted = shipped()
    with pytest.raises(ValueError, match="the space must have 224x224 images"):
        AccuracyModel(ShuffleNetV2Space(**fields), fitted.curve("megvii"), fitted.effects)


def test_a_baseline_is_one_network():
    model = shipped_model("megvii")
    with pytest.raises(ValueError, match="the baseline must be one network; got 4"):
        model.estimate(paper_genes(SPACE), baseline=paper_genes(SPACE))


def test_no_networks_have_no_estimates():
    found = estimate_genes(np.zeros((0, len(SPACE.parameters)), dtype=np.int16))
    assert found.mean.shape == found.difference_sd.shape == (0,)
    assert isinstance(estimate_accuracy(TEXT), AccuracyEstimate)


@pytest.mark.slow
def test_a_hundred_thousand_networks_take_a_second():
    genes = SPACE.sample(100_000, np.random.default_rng(0))
    estimate_genes(genes[:10])
    times = []
    for _ in range(3):
        start = time.perf_counter()
        estimate_genes(genes)
        times.append(time.perf_counter() - start)
    assert min(times) < 2  # 0.6 s on an idle core
