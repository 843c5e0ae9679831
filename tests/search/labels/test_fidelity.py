"""What speaks for and against labels, by scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evaluator.estimate.stored import shipped
from evaluator.measured_benchmark.rows import SHIPPED, read_rows
from evaluator.predictor.prior import prior_features, prior_of_space
from search.labels.fidelity import (
    Fidelity,
    ShorterTraining,
    fidelity,
    halves_of,
    partial_rank_correlation,
)
from search.labels.score import labelled_architectures, score_of
from search.problem.problem import Evaluation, Problem
from tests.helpers.labels import label_row as row

RNG = np.random.default_rng(4)
FLOPS = RNG.uniform(1e7, 1e8, 40)
EXPECTED = np.log(FLOPS) + RNG.normal(0, 0.3, 40)


def test_at_equal_flops_is_the_correlation_of_what_flops_leave() -> None:
    """Residuals of the ranks' regressions on the rank of the FLOPs."""
    accuracy = np.log(FLOPS) - 0.7 * EXPECTED + RNG.normal(0, 0.2, 40)
    a, b, given = (stats.rankdata(values) for values in (accuracy, EXPECTED, FLOPS))
    left = [values - np.polyval(np.polyfit(given, values, 1), given) for values in (a, b)]
    expected = stats.pearsonr(*left).statistic
    assert partial_rank_correlation(accuracy, EXPECTED, FLOPS) == pytest.approx(expected)


def test_not_defined_where_one_follows_from_the_flops() -> None:
    assert partial_rank_correlation(np.log(FLOPS), EXPECTED, FLOPS) is None
    assert partial_rank_correlation(np.ones(40), EXPECTED, FLOPS) is None
    found = fidelity(np.ones(40), FLOPS, EXPECTED, 6, None)
    assert found.with_sources is None and not found.backward
    assert found.lines() == [
        "labels against what 6 public sources say: not known, the labels are too few or too equal"
    ]


def test_interval_by_hand() -> None:
    """Of 28 networks with a rank correlation of .5: arctanh .5 = .549306; sqrt(1.06 / 25) =
    .205913; times 1.6449 = .338706; tanh of .210600 and .888012."""
    rng = np.random.default_rng(0)
    shorter = np.arange(28.0)
    longer = next(
        values
        for values in (rng.permutation(28).astype(float) for _ in range(10**6))
        if abs(stats.spearmanr(shorter, values).statistic - 0.5) < 2e-3
    )
    rho = stats.spearmanr(shorter, longer).statistic
    found = fidelity(shorter, shorter, None, 6, ShorterTraining(shorter, longer, "x")).with_longer
    assert found is not None and found.rho == pytest.approx(rho)
    assert (found.low, found.high) == pytest.approx((0.2075, 0.7104), abs=4e-3)


def test_the_interval_holds_nine_in_ten() -> None:
    """Of normal columns whose rank correlation is known (Pearson 1907)."""
    rng = np.random.default_rng(1)
    true, inside = 6 / np.pi * np.arcsin(0.6 / 2), 0
    for _ in range(400):
        a = rng.normal(size=40)
        b = 0.6 * a + 0.8 * rng.normal(size=40)
        found = fidelity(a, a, None, 6, ShorterTraining(a, b, "x")).with_longer
        assert found is not None
        inside += found.low <= true <= found.high
    assert 0.86 < inside / 400 < 0.94


def test_backward_labels_are_said() -> None:
    accuracy = 50 - 5 * (EXPECTED - np.log(FLOPS)) + np.log(FLOPS)
    found = fidelity(accuracy, FLOPS, EXPECTED, 6, None)
    assert found.backward and found.with_sources is not None
    (first, warning) = found.lines()
    assert first.startswith("labels against what 6 public sources say, at equal FLOPs")
    assert f"rho {found.with_sources.rho:.2f} (90 %: " in warning
    assert "train longer, or use --labels 0" in warning
    assert found.record()["ranks_backward"] is True
    right = fidelity(-accuracy, FLOPS, EXPECTED, 6, None)
    assert not right.backward and len(right.lines()) == 1


def test_few_labels_say_nothing_for_sure() -> None:
    accuracy = -EXPECTED[:5]
    assert fidelity(accuracy, FLOPS[:5], EXPECTED[:5], 6, None).with_sources is None


def test_halves_of_training() -> None:
    """Stopped and diverged trainings have no end."""
    rows = [row(str(n), 10.0 * n, [1.0 * n, 9.0 - n, 10.0 * n, 10.0 * n]) for n in range(8)]
    rows += [row("s", 2.0, [2.0, 2.0], pruned=True), row("d", 0.0, []) | {"diverged": True}]
    halves = halves_of(rows)
    assert halves is not None and halves.which == "after 2 of 4 epochs against the end"
    assert halves.shorter.tolist() == [9.0 - n for n in range(8)]
    assert halves.longer.tolist() == [10.0 * n for n in range(8)]
    found = fidelity(halves.longer, halves.longer, None, 6, halves)
    assert found.with_longer is not None and found.with_longer.rho == pytest.approx(-1)
    assert found.unsteady and "the ranks still change with the training" in found.lines()[-1]
    assert found.sources == 0 and found.record()["public_sources"] == 0


def test_one_epoch_has_no_halves() -> None:
    assert halves_of([row(str(n), 10.0 * n, [10.0 * n]) for n in range(8)]) is None
    assert halves_of([]) is None


def test_a_score_has_them_in_lines_and_record(
    problem: Problem, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = problem.evaluate(problem.space.sample(24, np.random.default_rng(2)))
    accuracy = 60 - 3.0 * found.genes[:, problem.space.position("depth3")]
    names = [str(number) for number in range(24)]
    folder = tmp_path_factory.mktemp("score")
    _, judged = score_of(problem, found, accuracy, stopped=0, names=names, folder=folder)
    record = judged.record()["fidelity"]
    assert record["public_sources"] == 6
    assert record["with_public_sources_at_equal_flops"]["networks"] == 24
    assert any("6 public sources" in line for line in judged.lines())


def test_open_axes_have_no_prior(
    problem: Problem, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Groups would be free by it."""
    opened = Problem(problem.space, problem.table, problem.budgets, ("g2",))
    found: Evaluation = opened.evaluate(opened.space.sample(24, np.random.default_rng(2)))
    accuracy = 60 - 3.0 * found.genes[:, opened.space.position("depth3")]
    names = [str(number) for number in range(24)]
    folder = tmp_path_factory.mktemp("score")
    score, judged = score_of(opened, found, accuracy, stopped=0, names=names, folder=folder)
    assert judged.fidelity is not None and judged.fidelity.sources == 0
    assert "prior" not in score.line
    assert np.isfinite(score(opened.space, found.genes, found.costs)).all()


def test_the_shipped_labels_rank_backward(problem: Problem) -> None:
    """One epoch of CIFAR-10: against the sources at equal FLOPs, and half of the ranks change
    until four epochs."""
    rows = read_rows(SHIPPED)
    space = problem.space
    short, long = (labelled_architectures(space, rows, name) for name in ("short", "long"))
    both = [text for text in short if text in long]
    assert len(both) == 32
    rho = stats.spearmanr(*([np.mean(of[text][1]) for text in both] for of in (short, long)))
    assert rho.statistic == pytest.approx(0.67, abs=0.01)
    judged = _of_shipped(problem, short)
    assert judged.backward and judged.with_sources.rho == pytest.approx(-0.18, abs=0.01)
    # After four epochs of 32 networks of like FLOPs nothing is left of it that is sure.
    longer = _of_shipped(problem, long)
    assert not longer.backward and longer.with_sources.low < 0 < longer.with_sources.high


def _of_shipped(problem: Problem, found: dict) -> Fidelity:
    genes = np.array([arch.genes for arch, _ in found.values()], dtype=np.int16)
    accuracy = np.array([np.mean(values) for _, values in found.values()])
    costs = problem.evaluate_unchecked(genes).costs
    prior = prior_of_space(problem.space, shipped().effects)
    assert prior is not None
    return fidelity(
        accuracy, costs.flops, prior.score(prior_features(problem.space, genes)), 6, None
    )
