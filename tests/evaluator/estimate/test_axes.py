"""The space's axes: features and FLOPs by hand, derivatives by differences."""

import dataclasses
import math

import numpy as np
import pytest

from evaluator.estimate.axes import (
    FACTORS,
    NAMES,
    UNVARIED,
    axis_model,
    axis_of_feature,
    features,
    genes_of_network,
    log_flops_slopes,
    paper_genes,
)
from evaluator.estimate.stored import shipped
from space.architectures.search_space import Architecture
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.network import Network
from space.zoo.catalog import published_network, published_networks

SPACE = ShuffleNetV2Space()
TEXT = (
    "shufflenet_v2 stem=8 width=96,200,512 depth=3,8,12 split=1/4,1/2,3/4 kernel=3,5,7 head=2048"
)
EFFECTS = shipped().effects


def genes(text: str) -> np.ndarray:
    return np.array([SPACE.parse(text).genes], dtype=np.int16)


def test_features_by_hand():
    found = dict(zip(NAMES, features(SPACE, genes(TEXT))[0], strict=True))
    log = math.log
    assert found == pytest.approx(
        {
            "stem": log(8 / 24),
            "width2": log(96), "width3": log(200), "width4": log(512),
            "depth2": 3, "depth3": 4, "depth4": 4,
            "deeper2": 0, "deeper3": log(2), "deeper4": log(3),
            "split2": log(0.5), "split3": 0, "split4": log(1.5),
            "kernel2": 0, "kernel3": 1 - 9 / 25, "kernel4": 1 - 9 / 49,
            "head": log(2),
        }
    )  # fmt: skip


def test_slopes_of_flops_by_lowered_networks():
    """ShuffleNet v2 1x with one parameter changed either way, counted op by op."""
    found = dict(zip(NAMES, log_flops_slopes(SPACE), strict=True))

    def log_flops(**changed: str) -> float:
        words = {"stem": "24", "width": "116,232,464", "depth": "4,8,4", "kernel": "3,3,3",
                 "split": "1/2,1/2,1/2", "head": "1024"} | changed  # fmt: skip
        text = " ".join(["shufflenet_v2", *(f"{name}={value}" for name, value in words.items())])
        return math.log(SPACE.lower(SPACE.parse(text)).flops)

    def slope(name: str, low: str, high: str, difference: float) -> float:
        return (log_flops(**{name: high}) - log_flops(**{name: low})) / difference

    log = math.log
    assert found["stem"] == pytest.approx(slope("stem", "20", "28", log(28 / 20)))
    assert found["head"] == pytest.approx(slope("head", "896", "1152", log(1152 / 896)))
    width = slope("width", "116,228,464", "116,236,464", log(236 / 228))
    assert found["width3"] == pytest.approx(width)
    assert found["depth4"] == pytest.approx(slope("depth", "4,8,2", "4,8,4", 2))
    assert found["deeper2"] == pytest.approx(slope("depth", "4,8,4", "8,8,4", log(2)))
    assert found["kernel4"] == pytest.approx(slope("kernel", "3,3,3", "3,3,5", 1 - 9 / 25))
    split = slope("split", "1/2,3/8,1/2", "1/2,5/8,1/2", log(5 / 3))
    assert found["split3"] == pytest.approx(split)


def test_what_no_source_varies_is_worth_its_flops_and_as_unsure():
    model = axis_model(SPACE, EFFECTS)
    slopes = log_flops_slopes(SPACE)
    at = {name: index for index, name in enumerate(NAMES)}
    for name in NAMES:
        if axis_of_feature(name) in UNVARIED:
            index = at[name]
            assert model.coefficients[index] == model.prices[index] > 0
            assert model.diagonal[index] == pytest.approx(model.prices[index] ** 2)
            assert not model.factors[index].any()
    for stage in "234":  # a FLOP of a stage's split is worth one of its width
        rate = model.coefficients[at[f"width{stage}"]] / slopes[at[f"width{stage}"]]
        split = model.coefficients[at[f"split{stage}"]] / slopes[at[f"split{stage}"]]
        assert split == pytest.approx(rate)


def test_wider_stages_together_are_worth_what_the_curve_says():
    """The scale moves worth between stages, and leaves its sum."""
    model = axis_model(SPACE, EFFECTS)
    wide = [NAMES.index(f"width{stage}") for stage in (2, 3, 4)]
    weights = np.exp(EFFECTS.growth.mean * np.array([-2.0, -1.0, 0.0]))
    assert model.coefficients[wide].sum() == pytest.approx(weights.sum())
    assert model.factors[wide].sum(0)[:2] == pytest.approx([0, 0], abs=1e-12)


@pytest.mark.parametrize("name", ["depth", "kernel"])
def test_factors_are_derivatives_times_a_deviation(name):
    effect = getattr(EFFECTS, name)
    sd = np.sqrt(effect.next_variance)
    moved = dataclasses.replace(
        EFFECTS, **{name: dataclasses.replace(effect, mean=effect.mean + sd)}
    )
    change = axis_model(SPACE, moved).coefficients - axis_model(SPACE, EFFECTS).coefficients
    factor = axis_model(SPACE, EFFECTS).factors[:, FACTORS.index(name)]
    assert factor == pytest.approx(change, abs=1e-12)
    assert (factor != 0).sum() == 3


def test_the_factor_of_growth_is_a_derivative_at_a_constant_sum():
    step = 1e-5
    growth = EFFECTS.growth
    wide = [NAMES.index(f"{axis}{stage}") for axis in ("width", "depth", "kernel")
            for stage in (2, 3, 4)]  # fmt: skip

    def pooled(change: float) -> np.ndarray:
        mean = dataclasses.replace(growth, mean=growth.mean + change)
        one = dataclasses.replace(EFFECTS.scale, mean=1.0)
        effects = dataclasses.replace(EFFECTS, growth=mean, scale=one)
        coefficients = axis_model(SPACE, effects).coefficients[wide]
        return coefficients / coefficients[:3].sum()

    weights = np.exp(growth.mean * np.array([-2.0, -1.0, 0.0])).sum()
    slope = (pooled(step) - pooled(-step)) / (2 * step) * weights
    factor = axis_model(SPACE, EFFECTS).factors[wide, FACTORS.index("growth")]
    expected = slope * EFFECTS.scale.mean * np.sqrt(growth.next_variance)
    assert factor == pytest.approx(expected, rel=1e-4)


def test_networks_of_the_space_have_the_genes_they_were_lowered_from():
    drawn = SPACE.sample(200, np.random.default_rng(0))
    for row in drawn:
        arch = Architecture(SPACE.name, tuple(int(gene) for gene in row))
        assert genes_of_network(SPACE, SPACE.lower(arch))[0].tolist() == row.tolist()


def test_the_papers_networks_are_points_of_the_space():
    for size, row in zip(("0.5", "1.0", "1.5", "2.0"), paper_genes(SPACE), strict=True):
        network = published_network(f"ShuffleNet v2 {size}x").network()
        assert genes_of_network(SPACE, network)[0].tolist() == row.tolist()


def test_other_networks_are_refused_in_one_line():
    plain = (
        "ShuffleNet v2 0.5x",
        "ShuffleNet v2 1.0x",
        "ShuffleNet v2 1.5x",
        "ShuffleNet v2 2.0x",
    )
    others = [name for name in published_networks() if name not in plain]
    assert "ShuffleNet v2 2.0x with SE" in others
    for name in others:
        with pytest.raises(ValueError, match=r"^the estimate knows [^\n]*$"):
            genes_of_network(SPACE, published_network(name).network())
    whole = SPACE.lower(SPACE.point((116, 232, 464)))
    for blocks in (whole.blocks[1:], whole.blocks[:-1], whole.blocks[:1]):
        with pytest.raises(ValueError, match="the estimate knows"):
            genes_of_network(SPACE, Network("part", blocks))
    small = ShuffleNetV2Space(height=128, width=128)
    with pytest.raises(ValueError, match="224x224"):
        genes_of_network(SPACE, small.lower(small.point((116, 232, 464))))
    wide = ShuffleNetV2Space().relaxed(["g4"])
    shortcut = wide.parse(f"{TEXT} residual=1")
    with pytest.raises(ValueError, match="three stages of equal plain units"):
        genes_of_network(SPACE, wide.lower(shortcut))


def test_genes_outside_the_family_are_refused():
    relaxed = SPACE.relaxed(["g1", "g2", "g3", "g4"])
    for name, value in (("groups", "2"), ("residual", "1"), ("bottleneck", "4")):
        row = np.array([relaxed.parse(f"{TEXT} {name}={value}").genes], dtype=np.int16)
        message = f"`{name}` must be [01]; got {value} in network 1"
        with pytest.raises(ValueError, match=message):
            features(relaxed, np.vstack([genes(TEXT), row]))
    with pytest.raises(ValueError, match=r"genes must be \[n, 19\]; got shape \[19\]"):
        features(SPACE, genes(TEXT)[0])
    with pytest.raises(ValueError, match="gene"):
        features(SPACE, genes(TEXT) + 1000)
