"""The closed-form score: its values by a slow loop, and what a search would make of it."""

import itertools
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from evaluator.benchmarks.calibration import BEST_DEPTH, depth_cost, fit_constants
from evaluator.score.closed_form import STUDY_IDENTITY, ClosedForm
from evaluator.score.genes import score_genes, terms
from space.architectures.search_space import Parameter
from space.architectures.shufflenet_v2 import ShuffleNetV2Space

ONE_X = {"stem": 24, "widths": (116, 232, 464), "depths": (4, 8, 4), "head": 1024}


def by_hand(widths, depths, splits, kernels, stem, head, first=None):
    """The docstring's formula with its constants written out, one architecture."""
    total = 0.25 / 1.5 * math.log(stem) + 0.25 * 1.5 ** (len(widths) - 1) * math.log(head)
    for level, (w, d, s, k) in enumerate(zip(widths, depths, splits, kernels, strict=True)):
        shares = [first if first and unit == 0 else s for unit in range(d)]
        inside = math.log(w) + sum(math.log(share) for share in shares) / d
        inside += 0.25 * math.log(w) + 0.85 * math.log(d) - 0.045 * d - 2.2 / k**2
        total += 1.5**level * inside
    return total


def flops_by_hand(widths, depths, splits, kernels, stem, head):
    """Multiply-adds at 224 x 224, counted convolution by convolution; widths may be fractions."""
    total = 3 * 9 * stem * 112**2
    c_in = stem
    for w, d, s, k, size in zip(widths, depths, splits, kernels, (28, 14, 7), strict=True):
        half, pixels = w / 2, size**2
        total += pixels * (k**2 * c_in + c_in * half)  # projection of the stride-2 unit
        total += 4 * pixels * c_in * half + pixels * (k**2 * half + half**2)  # its branch
        b = s * w
        total += (d - 1) * pixels * (b * b + k**2 * b + b * b)
        c_in = w
    return total + 49 * c_in * head + 1000 * head


def random_architectures(n, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "widths": rng.integers(24, 1025, (n, 3)),
        "depths": rng.integers(2, 13, (n, 3)),
        "splits": rng.choice([0.25, 0.375, 0.5, 0.625, 0.75], (n, 3)),
        "kernels": rng.choice([3, 5, 7], (n, 3)),
        "stem": rng.integers(8, 65, n),
        "head": rng.integers(256, 2049, n),
    }


@pytest.mark.parametrize("kind", [np.int16, np.int64, np.float64])
@pytest.mark.parametrize("n", [1, 2000])
def test_score_equals_a_slow_loop_for_every_dtype_and_size(kind, n):
    archs = random_architectures(n)
    given = {k: v if k == "splits" else v.astype(kind) for k, v in archs.items()}
    score = ClosedForm()(given.pop("widths"), given.pop("depths"), **given)
    slow = [by_hand(*row) for row in zip(*archs.values(), strict=True)]
    given = {k: v if k == "splits" else v.astype(kind) for k, v in archs.items()}
    halved = ClosedForm()(given.pop("widths"), given.pop("depths"), first_splits=0.5, **given)
    slow_halved = [by_hand(*row, first=0.5) for row in zip(*archs.values(), strict=True)]
    np.testing.assert_allclose(halved, slow_halved, rtol=1e-12)
    assert score.shape == (n,) and score.dtype == np.float64
    np.testing.assert_allclose(score, slow, rtol=1e-12)


def test_one_row_of_splits_or_kernels_stands_for_all():
    archs = random_architectures(50)
    form, row = ClosedForm(), np.array([0.5, 0.25, 0.75])
    full = form(archs["widths"], archs["depths"], splits=np.tile(row, (50, 1)), kernels=5)
    assert np.allclose(form(archs["widths"], archs["depths"], splits=row, kernels=5), full)


def test_levels_weigh_stages_by_resolution():
    form = ClosedForm()
    base, wider = form([[8, 8]], [[1, 1]], levels=[0, 0]), form([[8, 16]], [[1, 1]], levels=[0, 0])
    assert wider - base == pytest.approx(1.25 * math.log(2))
    base, wider = form([[8, 8]], [[1, 1]], levels=[0, 2]), form([[8, 16]], [[1, 1]], levels=[0, 2])
    assert wider - base == pytest.approx(1.5**2 * 1.25 * math.log(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": np.ones(3)}, r"`widths` must be \[n, stages\]; got shape \(3,\)"),
        ({"widths": [[8, 0, 8]]}, "`widths` must be positive and finite; got 0 to 8"),
        ({"depths": [[1, 2, np.nan]]}, "`depths` must be positive and finite; got nan"),
        ({"splits": [[0.5, 0.5]]}, r"`splits` must be \[n, stages\] = \[1, 3\]"),
        ({"kernels": np.full((2, 3), 3)}, r"`kernels` must be \[n, stages\] = \[1, 3\]"),
        ({"head": [10, 20]}, r"`head` must be \[n\] = \[1\]"),
        ({"levels": [0, 1]}, r"`levels` must be \[stages\] = \[3\]"),
    ],
)
def test_bad_arrays_are_refused(change, message):
    good = {"widths": [[8, 16, 32]], "depths": [[1, 2, 3]]} | change
    with pytest.raises(ValueError, match=message):
        ClosedForm()(good.pop("widths"), good.pop("depths"), **good)


def test_words_are_not_numbers():
    with pytest.raises(TypeError, match="`widths` must hold numbers"):
        ClosedForm()([["a", "b"]], [[1, 1]])


def test_stored_studies_keep_their_name_while_the_constants_do():
    values = asdict(ClosedForm())
    values["carried"] = values.pop("passthrough")
    names = ("growth", "carried", "depth", "depth_cost", "kernel_cost")
    text = ", ".join(f"{name}={values.pop(name)}" for name in names)
    assert f"ClosedForm({text})" == STUDY_IDENTITY and not values


def test_hand_count_of_flops_is_the_papers():
    half, three = (0.5, 0.5, 0.5), (3, 3, 3)
    assert flops_by_hand((116, 232, 464), (4, 8, 4), half, three, 24, 1024) == 144_907_992


@pytest.mark.parametrize("budget", [41e6, 146e6, 299e6, 591e6])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_best_depth_at_equal_flops_is_inside_the_space(budget, kernel):
    """Every depth of 2 ... 12 per stage, all widths scaled to exactly the budget."""
    depths = list(itertools.product(range(2, 13), repeat=3))
    stem, head, splits, kernels = 24, 1024, (0.5,) * 3, (kernel,) * 3
    low, high = np.full(len(depths), 1e-3), np.full(len(depths), 4000.0)
    every = np.array(depths).T
    for _ in range(60):
        middle = (low + high) / 2
        widths = (middle, 2 * middle, 4 * middle)
        over = flops_by_hand(widths, every, splits, kernels, stem, head) > budget
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    widths = np.stack([low, 2 * low, 4 * low], axis=1)
    score = ClosedForm()(widths, depths, splits=splits, first_splits=0.5)
    best = depths[int(score.argmax())]
    assert all(2 < depth < 12 for depth in best), best
    shallow, deep = score[depths.index((2, 2, 2))], score[depths.index((12, 12, 12))]
    assert score.max() > max(shallow, deep) + 0.2
    # The same search with a sum of log widths over layers runs to the deepest network.
    per_layer = (np.log(np.stack([low, 2 * low, 4 * low])) * every).sum(axis=0)
    assert depths[int(per_layer.argmax())] == (12, 12, 12)


def test_depth_cost_puts_the_best_depth_where_it_says():
    """Without the stride-2 unit, equal FLOPs means units * width^2 is constant."""
    units = np.linspace(1, 12, 1101)[:, None]
    score = ClosedForm(depth_cost=depth_cost(0.85))(100 / np.sqrt(units), units)
    assert units[score.argmax(), 0] == pytest.approx(BEST_DEPTH, abs=0.02)
    assert ClosedForm().depth_cost == pytest.approx(depth_cost(0.85))


def test_best_split_and_kernel_at_equal_flops_are_inside_the_space():
    """At the paper's widths scaled to 146M, neither the ends of the splits nor kernel 7 win."""
    stem, head, depths = 24, 1024, (6, 7, 8)

    def best(widths, choices, of):
        scores = []
        for choice in choices:
            splits = (choice,) * 3 if of == "split" else (0.5,) * 3
            kernels = (choice,) * 3 if of == "kernel" else (3,) * 3
            low, high = 0.01, 100.0
            for _ in range(60):
                scaled = [w * (low + high) / 2 for w in widths]
                over = flops_by_hand(scaled, depths, splits, kernels, stem, head) > 146e6
                low, high = (low, (low + high) / 2) if over else ((low + high) / 2, high)
            form = ClosedForm()
            scaled = [[w * low for w in widths]]
            found = form(scaled, [depths], splits=splits, first_splits=0.5, kernels=kernels)
            scores.append(found[0])
        return choices[int(np.argmax(scores))]

    assert best((116, 232, 464), (0.25, 0.375, 0.5, 0.625, 0.75), "split") in (0.375, 0.5, 0.625)
    assert best((116, 232, 464), (3, 5, 7), "kernel") == 5


def test_gene_scores_equal_the_arrays_scores():
    space = ShuffleNetV2Space()
    genes = space.sample(300, np.random.default_rng(1))
    at = {
        parameter.name: np.array([float(choice) for choice in parameter.choices])[genes[:, column]]
        for column, parameter in enumerate(space.parameters)
        if parameter.name != "fragments"
    }
    stages = {
        key: np.stack([at[f"{key}{s}"] for s in (2, 3, 4)], axis=1)
        for key in ("width", "depth", "split", "kernel")
    }
    expected = ClosedForm()(
        stages["width"],
        stages["depth"],
        splits=stages["split"],
        first_splits=0.5,
        kernels=stages["kernel"],
        stem=at["stem"],
        head=at["head"],
    )
    np.testing.assert_allclose(score_genes(space, genes), expected, rtol=1e-12)


def test_guideline_breaking_parameters_add_what_their_fan_in_says():
    space = ShuffleNetV2Space()
    tables = {term.columns: term.table for term in terms(space)}
    stages = 1 + 1.5 + 1.5**2
    groups, ratios = np.array([1, 2, 4, 8]), np.array([1, 1 / 4, 1 / 2, 2, 4])
    np.testing.assert_allclose(tables[(space.position("groups"),)], -stages * np.log(groups) / 2)
    np.testing.assert_allclose(
        tables[(space.position("bottleneck"),)], stages * np.log(ratios) / 2
    )
    for name in ("fragments", "residual", "extra_relu"):
        assert all(space.position(name) not in columns for columns in tables)


def test_a_parameter_the_score_does_not_know_is_refused():
    space = ShuffleNetV2Space()
    other = replace(space, parameters=(*space.parameters, Parameter("heads", (1, 2), 2)))
    with pytest.raises(ValueError, match="knows no parameter heads of shufflenet_v2"):
        terms(other)


def test_gene_scores_refuse_the_wrong_number_of_parameters():
    with pytest.raises(ValueError, match=r"genes must be \[n, 19\]; got shape \(2, 3\)"):
        score_genes(ShuffleNetV2Space(), np.zeros((2, 3), dtype=np.int16))


@pytest.mark.slow
def test_default_constants_are_the_fitted_ones_rounded(public_data):
    fitted, other = fit_constants(half=0), fit_constants(half=1)
    form = ClosedForm()
    assert fitted["growth"] == pytest.approx(form.growth, abs=0.06)
    assert fitted["depth"] == pytest.approx(form.depth, abs=0.02)
    assert fitted["kernel_cost"] == pytest.approx(form.kernel_cost, abs=0.05)
    for name, spread in (("growth", 0.05), ("depth", 0.05), ("kernel_cost", 0.2)):
        assert fitted[name] == pytest.approx(other[name], abs=spread)
