"""The predictor: its columns by hand, its contract with either regressor, and its benchmark."""

import json
import time
from fractions import Fraction
from functools import cached_property

import numpy as np
import pytest

from evaluator.benchmarks.public_tables import read_table
from evaluator.predictor.__main__ import main
from evaluator.predictor.benchmark import (
    WITH,
    WITHOUT,
    benchmark_predictor,
    mean_results,
    print_report,
)
from evaluator.predictor.encoding import Encoding
from evaluator.predictor.model import REGRESSORS, Predictor, from_log, to_log
from evaluator.predictor.ridge import Ridge
from evaluator.predictor.tables import as_space
from evaluator.score.genes import free_scores, score_genes
from evaluator.score.testing import AdditiveScoreContract, ScoreContract
from space.architectures.search_space import Parameter, SearchSpace
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from tests.helpers.small_tables import write_table

SPACE = SearchSpace(
    "toy",
    (
        Parameter("width", (8, 16, 64), 3),
        Parameter("split", (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)), 3),
        Parameter("order", ("plain", "2-serial"), 2),
        Parameter("se", (0, 1), 2),
        Parameter("groups", (1, 2, 4), 1),
        Parameter("extra", (0, 1, 2, 3), 4),
    ),
)


def draw(n, seed=0, noise=0.0):
    """Genes, accuracies that add up in the log of the error, and one score."""
    rng = np.random.default_rng(seed)
    genes = SPACE.sample(n, rng)
    worth = 0.4 * genes[:, 0] + 0.2 * genes[:, 1] + 0.3 * genes[:, 2] - 0.1 * genes[:, 3]
    score = worth + rng.normal(0, 0.5, n)
    accuracy = from_log(worth - 3 + rng.normal(0, noise, n))
    return genes, accuracy, {"score": score}


def test_columns_by_hand():
    genes = np.array([[0, 2, 1, 0, 0, 3], [2, 0, 0, 1, 0, 0]])
    scores = {"a": np.array([1.0, 3.0]), "b": np.array([5.0, 5.0])}
    encoding = Encoding.of(SPACE, scores)
    logs = np.log([8, 16, 64])
    width = (logs - np.mean(logs)) / np.std(logs)
    shares = np.log([0.25, 0.5, 0.75])
    split = (shares - np.mean(shares)) / np.std(shares)
    extra = (np.arange(4) - 1.5) / np.sqrt(1.25)
    expected = [
        [width[0], split[2], extra[3], -1, 0],
        [width[2], split[0], extra[0], 1, 0],
    ]
    assert encoding.trend(genes, scores) == pytest.approx(np.array(expected))
    hot = encoding.hot(genes)
    assert hot.shape == (2, 3 + 3 + 2 + 2 + 4)
    assert hot[0].tolist() == [1, 0, 0, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 1]


def test_encoding_reads_back_from_json():
    encoding = Encoding.of(SPACE, {"a": np.array([0.1, 0.7])})
    assert Encoding.from_json(json.loads(json.dumps(encoding.to_json()))) == encoding


@pytest.fixture(params=list(REGRESSORS))
def regressor(request):
    return request.param


class TestContract:
    """What both regressors keep to."""

    def test_ranks_networks_it_has_not_seen(self, regressor):
        genes, accuracy, scores = draw(40, noise=0.02)
        predictor = Predictor.fit(SPACE, genes, accuracy, scores=scores, regressor=regressor)
        others, true, more = draw(300, seed=1)
        found = predictor.predict(others, more)
        assert (
            np.corrcoef(np.argsort(np.argsort(found)), np.argsort(np.argsort(true)))[0, 1] > 0.95
        )
        assert np.abs(found - true).mean() < 2.0
        assert predictor.cross_validated is not None and predictor.cross_validated > 0.9

    def test_reads_back_from_json_and_predicts_the_same(self, regressor):
        genes, accuracy, scores = draw(20)
        predictor = Predictor.fit(SPACE, genes, accuracy, scores=scores, regressor=regressor)
        text = predictor.to_json()
        loaded = Predictor.from_json(text)
        assert loaded.to_json() == text
        others, _, more = draw(50, seed=1)
        assert loaded.predict(others, more).tobytes() == predictor.predict(others, more).tobytes()

    def test_same_seed_same_bytes(self, regressor):
        genes, accuracy, scores = draw(25, noise=0.1)
        texts = [
            Predictor.fit(
                SPACE, genes, accuracy, scores=scores, regressor=regressor, seed=s
            ).to_json()
            for s in (1, 1)
        ]
        assert texts[0] == texts[1]

    def test_cross_validation_finds_nothing_in_noise(self, regressor):
        """Nothing of a held-out label may reach its prediction."""
        rng = np.random.default_rng(0)
        found = []
        for seed in range(6):
            genes = SPACE.sample(40, rng)
            accuracy = rng.uniform(20, 80, 40)
            fitted = Predictor.fit(SPACE, genes, accuracy, regressor=regressor, seed=seed)
            found.append(fitted.cross_validated)
        assert np.mean(found) < 0.15

    def test_an_empty_array_of_genes_is_an_empty_answer(self, regressor):
        genes, accuracy, _ = draw(12)
        fitted = Predictor.fit(SPACE, genes, accuracy, regressor=regressor, validate=False)
        assert fitted.predict(genes[:0]).shape == (0,) and fitted.cross_validated is None

    def test_a_score_that_does_not_vary_among_the_labels_adds_nothing(self, regressor):
        genes, accuracy, _ = draw(20)
        flat = {"flat": np.full(20, 7.0)}
        fitted = Predictor.fit(SPACE, genes, accuracy, scores=flat, regressor=regressor)
        low, high = (fitted.predict(genes, {"flat": np.full(20, v)}) for v in (0.0, 1e6))
        assert np.array_equal(low, high)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"accuracy": np.ones(11)}, r"at least 10 networks; got shape \(11,\) for 12"),
            ({"accuracy": np.full(12, 101.0)}, r"must be in 0 \.\.\. 100 %"),
            ({"accuracy": np.full(12, np.nan)}, r"must be in 0 \.\.\. 100 %"),
            ({"accuracy": np.full(12, 50.0)}, "must differ; all are 50 %"),
            ({"genes": np.zeros((12, 2), int)}, r"genes must be \[n, 6\]"),
            ({"genes": np.full((12, 6), 2)}, r"gene of `order` must be in 0\.\.1.*got 2"),
            ({"scores": {"a": np.full(12, np.inf)}}, "`a` holds NaN or infinity"),
            ({"scores": {"a": np.arange(3.0)}}, r"score `a` must be \[n\] = \[12\]"),
            ({"regressor": "forest"}, "must be one of ridge, gp; got 'forest'"),
        ],
    )
    def test_bad_labels_are_refused(self, regressor, change, message):
        genes, accuracy, _ = draw(12)
        given = {"genes": genes, "accuracy": accuracy, "regressor": regressor} | change
        with pytest.raises(ValueError, match=message):
            Predictor.fit(SPACE, given.pop("genes"), given.pop("accuracy"), **given)

    def test_genes_and_scores_it_was_not_fitted_on_are_refused(self, regressor):
        genes, accuracy, scores = draw(12)
        fitted = Predictor.fit(SPACE, genes, accuracy, scores=scores, regressor=regressor)
        with pytest.raises(ValueError, match="scores must be score; got none"):
            fitted.predict(genes)
        closed = genes.copy()
        closed[3, 4] = 1
        with pytest.raises(ValueError, match=r"`groups` must be in 0\.\.0, the choices that were"):
            fitted.predict(closed, scores)

    def test_tables_add_up_to_the_model_itself(self, regressor):
        genes, accuracy, scores = draw(30, noise=0.1)
        fitted = Predictor.fit(SPACE, genes, accuracy, scores=scores, regressor=regressor)
        others, _, more = draw(3000, seed=3)
        expected = from_log(fitted.model.mean(fitted.encoding.columns(others, more)))
        assert fitted.predict(others, more) == pytest.approx(expected, rel=1e-12)


class TestRidgeIsAScore(AdditiveScoreContract):
    """Without training-free scores, the log of the error is a sum over parameters."""

    space = SPACE
    groups = tuple((column,) for column in range(len(SPACE.parameters)))
    fitted = Predictor.fit(SPACE, *draw(20)[:2], regressor="ridge", validate=False)

    def score(self, genes):
        return self.fitted.predict(genes)

    def additive(self, scores):
        return to_log(scores)


class TestGaussianProcessIsAScore(ScoreContract):
    """With the training-free scores of the networks, as a search calls it."""

    space = ShuffleNetV2Space()

    @cached_property
    def fitted(self):
        genes = self.draw(2)[:40]
        accuracy = 30 + score_genes(self.space, genes)
        scores = self.free_scores(genes)
        return Predictor.fit(self.space, genes, accuracy, scores=scores, validate=False)

    def free_scores(self, genes):
        sizes = 1.0 + genes.sum(axis=1)
        return free_scores(self.space, genes, 1e6 * sizes, 1e5 * sizes)

    def score(self, genes):
        return self.fitted.predict(genes, self.free_scores(genes))


def test_intervals_hold_as_many_as_they_say():
    genes, accuracy, _ = draw(60, noise=0.1)
    fitted = Predictor.fit(SPACE, genes, accuracy, regressor="gp")
    others, true, _ = draw(2000, seed=5, noise=0.1)
    mean, low, high = fitted.predict_interval(others, deviations=1.645)
    assert 0.8 < ((low <= true) & (true <= high)).mean() < 0.97
    assert (low < mean).all() and (mean < high).all()
    ridge = Predictor.fit(SPACE, genes, accuracy, regressor="ridge")
    with pytest.raises(ValueError, match="only regressor gp has intervals; got ridge"):
        ridge.predict_interval(others)


def test_logarithm_of_the_error_and_back():
    assert to_log(np.array([0.0, 99.0, 100.0])) == pytest.approx([-np.log(100), 0, -np.log(0.01)])
    assert from_log(to_log(np.array([12.5, 99.9]))) == pytest.approx([12.5, 99.9])


def test_a_space_is_scored_in_one_call_with_its_free_scores():
    space = ShuffleNetV2Space()
    rng = np.random.default_rng(0)
    genes = space.sample(40, rng)
    sizes = rng.uniform(1e7, 1e9, (2, 40))
    scores = free_scores(space, genes, *sizes)
    assert tuple(scores) == ("closed form", "log FLOPs", "log params")
    assert np.array_equal(scores["log FLOPs"], np.log(sizes[0]))
    accuracy = 30 + score_genes(space, genes)
    fitted = Predictor.fit(space, genes, accuracy, scores=scores, regressor="gp")
    assert fitted.cross_validated > 0.9
    assert fitted.predict(genes, scores).shape == (40,)


@pytest.mark.slow
def test_ridge_scores_a_million_networks_a_second():
    space = ShuffleNetV2Space()
    rng = np.random.default_rng(0)
    genes = space.sample(300_000, rng)
    few = genes[:50]
    fitted = Predictor.fit(space, few, 30 + score_genes(space, few), regressor="ridge")
    start = time.process_time()
    fitted.predict(genes)
    assert len(genes) / (time.process_time() - start) > 1e6


@pytest.mark.slow
def test_table_as_space_gives_the_table_back(public_data):
    table = read_table("nats-sss")
    space, genes = as_space(table)
    assert [parameter.name for parameter in space.parameters] == [f"width{i}" for i in range(1, 6)]
    values = np.array(space.parameters[0].choices)
    assert np.array_equal(values[genes[:, 2]], table.widths[:, 2])


@pytest.mark.slow
def test_benchmark_is_seeded_and_better_than_no_labels(public_data, capsys):
    report = benchmark_predictor("accel-nasbench", [50], draws=2, seed=7)
    rows = {row["method"]: row for row in report["rows"]}
    with_prior = rows["gp, genes + costs + prior"]
    assert with_prior["spearman"] > 0.95 > rows["ridge, one-hot alone"]["spearman"]
    assert report["networks"] == 2569
    assert benchmark_predictor("accel-nasbench", [50], draws=2, seed=7)["rows"] == report["rows"]
    assert main(["accel-nasbench", "--labels", "50", "--draws", "2", "--seed", "7"]) == 0
    assert f"{with_prior['spearman']:.3f}" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "aim"), [("accel-nasbench", 0.87), ("dynas-ofa", 0.80), ("nats-sss", 0.89)]
)
def test_few_labels_rank_better_with_a_prior_of_the_other_sources(public_data, dataset, aim):
    report = benchmark_predictor(dataset, [0, 10], draws=4, seed=3)
    for target in {row["accuracy"] for row in report["rows"]}:
        found = {
            (row["labels"], row["method"]): row["spearman_equal_flops"]
            for row in report["rows"]
            if row["accuracy"] == target
        }
        assert found[0, "prior, no labels"] > aim
        assert found[10, WITH] > found[10, WITHOUT] + 0.005


def test_without_the_other_sources_there_is_no_prior(few, capsys):
    report = benchmark_predictor("nats-sss", [0, 10], draws=1, data=few)
    assert "without a prior, which the other sources give" in capsys.readouterr().err
    methods = {(row["labels"], row["method"]) for row in report["rows"]}
    assert (0, "closed form, no labels") in methods
    assert not any("prior" in method for _, method in methods) and report["worth"] == []


@pytest.fixture
def few(tmp_path):
    """A folder with a table of 100 networks."""
    rng = np.random.default_rng(0)
    columns = {f"width{i}": rng.integers(1, 9, 100) * 8 for i in range(1, 6)}
    columns |= {name: rng.integers(10**4, 10**5, 100) for name in ("params", "flops")}
    tops = ("cifar10_top1", "cifar100_top1", "imagenet16_top1")
    columns |= {name: rng.uniform(30, 90, 100) for name in tops}
    return write_table(tmp_path, "nats_sss", columns)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("3", "--labels must be from 10 to 20, or 0 for none; got 3"),
        ("12,21", "--labels must be from 10 to 20, or 0 for none; got 12,21"),
        ("many", "--labels must be whole numbers, as 20,50; got 'many'"),
    ],
)
def test_labels_of_a_wrong_count_are_refused(few, labels, message, capsys):
    assert main(["nats-sss", "--data", str(few), "--labels", labels]) == 2
    assert capsys.readouterr().err == f"evaluator.predictor: {message}\n"


def test_means_leave_out_draws_without_a_rank_correlation():
    draws = [
        {"spearman": 0.4, "spearman_equal_flops": None},
        {"spearman": None, "spearman_equal_flops": None},
        {"spearman": 0.8, "spearman_equal_flops": None},
    ]
    found = mean_results(draws)
    assert found.pop("spearman") == pytest.approx(0.6)
    assert found.pop("spread") == pytest.approx(0.2)
    assert found == {"worst": 0.4, "spearman_equal_flops": None}
    nothing = {"spearman": None, "spread": None, "worst": None, "spearman_equal_flops": None}
    assert mean_results(draws[1:2]) == nothing


def test_a_missing_rank_correlation_is_printed_as_a_dash(few, capsys):
    report = benchmark_predictor("nats-sss", [10], draws=1, data=few)
    row = next(row for row in report["rows"] if row["method"] == "gp, genes")
    print_report({**report, "rows": [{**row, "spearman_equal_flops": None}]})
    line = next(line for line in capsys.readouterr().out.splitlines() if "gp, genes" in line)
    cells = [cell.strip() for cell in line.split("│")[1:-1]]
    assert cells[1] == f"{row['spearman']:.3f}" and cells[4] == "-"
    assert cells[6] == f"{row['within_90']:.0%}"


def test_equal_predictions_have_no_rank_correlation(monkeypatch):
    monkeypatch.setattr(Ridge, "mean", lambda self, columns: np.zeros(len(columns)))
    genes, accuracy, _ = draw(20)
    fitted = Predictor.fit(SPACE, genes, accuracy, regressor="ridge")
    assert fitted.cross_validated is None
    assert Predictor.from_json(fitted.to_json()).cross_validated is None


def test_missing_data_is_one_line_and_exit_2(tmp_path, capsys):
    assert main(["nats-sss", "--data", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and str(tmp_path) in err
