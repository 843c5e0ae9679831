"""Labels step by step: which networks are chosen, and what is kept, stopped and fitted."""

from __future__ import annotations

import numpy as np
import pytest

from search.labels.pruning import Pruning, completed
from search.labels.score import score_of
from search.labels.selection import select_networks
from search.problem.baseline import baseline
from search.problem.problem import CLOSED_FORM, Evaluation, Floats, Problem
from tests.helpers.labels import label_row as row


@pytest.fixture(scope="module")
def found(problem: Problem) -> Evaluation:
    return select_networks(problem, 24, 0, baseline(problem))


@pytest.mark.slow
class TestChosen:
    def test_different_and_within_every_limit(self, problem: Problem, found) -> None:
        assert len(np.unique(found.genes, axis=0)) == 24
        assert problem.evaluate(found.genes).feasible.all()

    def test_the_baseline_is_first(self, problem: Problem, found) -> None:
        assert (found.genes[0] == baseline(problem).found.genes[0]).all()

    def test_more_labels_keep_the_first(self, problem: Problem, found) -> None:
        fewer = select_networks(problem, 10, 0, baseline(problem))
        assert (fewer.genes == found.genes[:10]).all()
        assert not (select_networks(problem, 10, 1, baseline(problem)).genes == fewer.genes).all()

    def test_half_are_nearer_to_the_front_than_a_random_network(self, problem: Problem, found):
        rng = np.random.default_rng(5)
        drawn = problem.evaluate(problem.space.sample(20_000, rng))
        fair = drawn.score[drawn.feasible] / np.log(drawn.costs.latency_s[drawn.feasible] * 1e6)
        mine = found.score[1:] / np.log(found.costs.latency_s[1:] * 1e6)
        near, spread = mine[1::2], mine[0::2]
        assert np.median(near) > np.quantile(fair, 0.9)
        assert np.quantile(fair, 0.05) < np.median(spread) < np.quantile(fair, 0.95)

    def test_they_spread_over_every_axis(self, problem: Problem, found) -> None:
        sizes = problem.space.active_sizes
        for column in np.flatnonzero(sizes > 1):
            assert np.ptp(found.genes[:, column]) >= 0.5 * (sizes[column] - 1)


class TestPruning:
    LATENCIES = np.linspace(1.0, 3.0, 30)

    def test_short_trainings_run_to_their_end(self) -> None:
        assert Pruning(self.LATENCIES, 3).judge(1.0) is None

    def test_a_network_is_compared_with_its_own_third(self) -> None:
        """Under the median of the slow ones a fast network goes on, a slow one stops."""
        pruning = Pruning(self.LATENCIES, 6)
        for accuracy in (20.0, 22.0, 24.0, 26.0):
            pruning.recall(1.1, row("fast", accuracy, [accuracy] * 6))
            pruning.recall(2.9, row("slow", accuracy + 40, [accuracy + 40] * 6))
        fast, slow = pruning.judge(1.2), pruning.judge(2.8)
        assert [fast(epoch, 40.0) for epoch in range(1, 6)] == [False] * 5
        assert not slow(1, 40.0)  # a third of the training is run whatever it gives
        assert slow(3, 40.0)

    def test_what_was_stopped_is_carried_to_the_end(self) -> None:
        """Errors halve from epoch 2 to the last: 60 % error then is 30 % in the end."""
        rows = [row("a", 100 - e / 2, [0.0, 100 - e, 100 - e / 2]) for e in (20, 30, 40, 50, 64)]
        got = completed([*rows, row("b", 40.0, [0.0, 40.0], pruned=True)])
        assert got[:5] == pytest.approx([90, 85, 80, 75, 68])
        assert got[5] == pytest.approx(70.0)


@pytest.mark.slow
class TestScore:
    def labelled(self, problem: Problem, found: Evaluation, noise: float, sign: float) -> Floats:
        """Accuracies that fall or rise with depth, unlike the closed form; and noise."""
        depth = found.genes[
            :, [parameter.name == "depth3" for parameter in problem.space.parameters]
        ][:, 0]
        rng = np.random.default_rng(0)
        return 50 + sign * depth + noise * rng.normal(size=len(found))

    def test_the_predictor_is_used_where_it_ranks_better(
        self, problem: Problem, found, tmp_path
    ) -> None:
        accuracy = self.labelled(problem, found, 0.1, -2.0)
        score, judged = score_of(problem, found, accuracy, stopped=0, names=["a"], folder=tmp_path)
        assert judged.better and judged.predictor > 0.7
        others = problem.space.sample(200, np.random.default_rng(3))
        depth = others[:, problem.space.position("depth3")]
        predicted = score(problem.space, others, problem.evaluate(others).costs)
        assert np.corrcoef(predicted, depth)[0, 1] < -0.8
        again, _ = score_of(problem, found, accuracy, stopped=0, names=["a"], folder=tmp_path)
        assert again == score
        assert (again(problem.space, others, problem.evaluate(others).costs) == predicted).all()
        other, _ = score_of(problem, found, accuracy + 1, stopped=0, names=["a"], folder=tmp_path)
        assert other.identity != score.identity

    def test_noise_leaves_the_closed_form(self, problem: Problem, found, tmp_path) -> None:
        accuracy = 50 + 5 * (found.score - found.score.mean())
        score, judged = score_of(problem, found, accuracy, stopped=3, names=["a"], folder=tmp_path)
        assert judged.closed_form == pytest.approx(1.0)
        assert score is CLOSED_FORM
        assert any("ranks the labels no better" in line for line in judged.lines())
        assert "3 of them stopped early" in judged.lines()[0]

    def test_small_networks_ahead_are_told(self, problem: Problem, found, tmp_path) -> None:
        for sign, warned in ((-1, True), (1, False)):
            accuracy = 50 + sign * np.log(found.costs.flops)
            _, judged = score_of(
                problem, found, accuracy, stopped=0, names=[str(sign)], folder=tmp_path
            )
            assert judged.flops == pytest.approx(sign)
            assert any(line.startswith("warning: ") for line in judged.lines()) == warned

    def test_equal_labels_fit_nothing(self, problem: Problem, found, tmp_path) -> None:
        accuracy = self.labelled(problem, found, 0.0, 0.0)
        score, judged = score_of(problem, found, accuracy, stopped=0, names=["a"], folder=tmp_path)
        assert score is CLOSED_FORM
        assert "accuracies must differ" in judged.why
        assert judged.closed_form is judged.flops is None  # a constant has no rank correlation
        assert "closed form, which needs no labels: - " in "\n".join(judged.lines())
