"""The prior of a predictor: what public sources say, before labels and with them."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.estimate.networks import shipped_model
from evaluator.estimate.stored import shipped
from evaluator.predictor.benchmark import WITH, WITHOUT, labels_worth
from evaluator.predictor.columns import Columns
from evaluator.predictor.gaussian_process import GaussianProcess
from evaluator.predictor.model import Predictor, from_log
from evaluator.predictor.prior import LabelPrior, prior_features, prior_of_space
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.stats import spearman
from tests.helpers.hostile import examples, mutated_json

SPACE = ShuffleNetV2Space()
EFFECTS = shipped().effects
GENES = SPACE.sample(900, np.random.default_rng(0))
FEATURES = prior_features(SPACE, GENES)


@pytest.fixture(scope="module")
def prior() -> LabelPrior:
    found = prior_of_space(SPACE, EFFECTS)
    assert found is not None
    return found


def labels(prior: LabelPrior, n: int, away: float, noise: float, seed: int = 0):
    """Accuracies by the prior's mean, or with effects of their own; true ones of the rest."""
    rng = np.random.default_rng(seed)
    score = prior.score(FEATURES)
    own = FEATURES @ (rng.normal(size=len(prior.names)) / FEATURES.std(axis=0))
    worth = (1 - away) * score / score.std() + away * own / own.std()
    return from_log(0.1 * (worth + noise * rng.normal(size=len(worth))) - 3)


def fitted(prior: LabelPrior | None, accuracy, n: int) -> Predictor:
    features = {} if prior is None else {"prior": prior, "features": FEATURES[:n]}
    return Predictor.fit(SPACE, GENES[:n], accuracy[:n], validate=False, **features)


def predict(predictor: Predictor, n: int):
    features = {} if predictor.prior is None else {"features": FEATURES[n:]}
    return predictor.predict(GENES[n:], **features)


def test_it_ranks_as_the_estimate_does(prior):
    """By the route of the estimate of ImageNet top-1, which is of one recipe."""
    top1 = shipped_model("torchvision").estimate(GENES).mean
    assert spearman(prior.score(FEATURES), top1) == pytest.approx(1.0)


def test_no_label_ranks_as_the_prior(prior):
    columns = prior.columns(FEATURES, FEATURES, ["depth2", "log FLOPs"])
    assert columns.covered.tolist() == [True, False]
    every = Columns(np.zeros((900, 2)), np.zeros((900, 0)), columns)
    constants = (-2.0, -2.0, 1.0, -4.0, -4.0, -2.0, 0.0)
    model = GaussianProcess.fit(constants, every.take(slice(0, 0)), np.zeros(0))
    assert spearman(model.mean(every), prior.score(FEATURES)) == pytest.approx(1.0)


def test_covariance_is_that_of_the_effects(prior):
    """Coefficients drawn, one after another, give the covariance of root root'."""
    rng = np.random.default_rng(3)
    some = FEATURES[:3]
    columns = prior.columns(some, FEATURES, [])
    scale = prior.score(FEATURES).std()
    drawn = np.array(
        [
            prior.coefficients
            + prior.factors @ rng.normal(size=prior.factors.shape[1])
            + np.sqrt(prior.diagonal) * rng.normal(size=len(prior.names))
            for _ in range(40_000)
        ]
    )
    worth = (some - FEATURES.mean(axis=0)) @ drawn.T / scale
    assert worth.mean(axis=1) == pytest.approx(columns.mean, abs=0.03)
    assert np.cov(worth) == pytest.approx(columns.root @ columns.root.T, rel=0.05, abs=0.03)


@pytest.mark.parametrize("size", [32, 96, 224])
def test_other_images_have_a_prior(size):
    space = ShuffleNetV2Space(height=size, width=size, classes=10)
    found = prior_of_space(space, EFFECTS)
    assert found is not None and (found.coefficients > 0).all()


def test_open_axes_have_none():
    for guideline in ("g1", "g2", "g3", "g4"):
        assert prior_of_space(SPACE.relaxed((guideline,)), EFFECTS) is None


def test_few_labels_that_agree_rank_better_with_it(prior):
    accuracy = labels(prior, 12, 0.0, 0.3)
    true = prior.score(FEATURES)[12:]
    with_prior, without = (
        spearman(predict(fitted(each, accuracy, 12), 12), true) for each in (prior, None)
    )
    assert with_prior > 0.95 > without + 0.1


def test_many_labels_rank_as_without(prior):
    """Whatever the prior says: effects that it does not foretell are learned all the same."""
    accuracy = labels(prior, 200, 1.0, 0.05)
    found = [predict(fitted(each, accuracy, 200), 200) for each in (prior, None)]
    assert spearman(*found) > 0.99
    assert spearman(found[0], accuracy[200:]) > 0.98


def test_labels_turn_it_over(prior):
    score = prior.score(FEATURES)
    accuracy = from_log(-0.1 * (score - score.mean()) / score.std() - 3)
    assert spearman(predict(fitted(prior, accuracy, 40), 40), -score[40:]) > 0.98


def test_features_are_checked(prior):
    accuracy = labels(prior, 12, 0.0, 0.3)
    with pytest.raises(ValueError, match=r"features of the prior must be finite, \[12, 17\]"):
        Predictor.fit(SPACE, GENES[:12], accuracy[:12], prior=prior)
    with pytest.raises(ValueError, match="only regressor gp knows a prior; got ridge"):
        Predictor.fit(
            SPACE,
            GENES[:12],
            accuracy[:12],
            prior=prior,
            features=FEATURES[:12],
            regressor="ridge",
        )
    predictor = fitted(prior, accuracy, 12)
    with pytest.raises(ValueError, match="features of the prior must be finite"):
        predictor.predict(GENES[:3])


def test_equal_scores_leave_no_prior(prior):
    same = np.repeat(FEATURES[:1], 12, axis=0)
    columns = prior.columns(FEATURES, same, [])
    assert not columns.mean.any() and not columns.root.any()


@pytest.fixture(scope="module")
def stored(prior) -> str:
    accuracy = labels(prior, 12, 0.5, 0.3)
    return fitted(prior, accuracy, 12).to_json()


def test_reads_back_and_predicts_the_same(prior, stored):
    accuracy = labels(prior, 12, 0.5, 0.3)
    predictor, again = fitted(prior, accuracy, 12), Predictor.from_json(stored)
    assert again.to_json() == stored and json.loads(stored)["format"] == 2
    assert predict(again, 12).tobytes() == predict(predictor, 12).tobytes()
    mean, low, high = again.predict_interval(GENES[12:], features=FEATURES[12:])
    assert mean == pytest.approx(predict(again, 12))
    assert (low < mean).all() and (mean < high).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("prior"), "must be of engine gp, and have a `prior`"),
        (lambda data: data["labels"].pop("features"), "and the `features` of the labels"),
        (lambda data: data["prior"]["names"].pop(), "as many of each part as names"),
        (lambda data: data["prior"]["factors"][0].pop(), "as many of each part as names"),
        (lambda data: data["constants"].pop(), "constants must be 7 numbers"),
        (lambda data: data["labels"]["features"].pop(), "features of the prior must be finite"),
        (lambda data: data.update(format=1), "constants must be 5 numbers"),
        (lambda data: data.update(format=3), "format 3, and this program reads 1 and 2"),
    ],
)
def test_a_damaged_prior_is_one_line(stored, change, message):
    data = json.loads(stored)
    change(data)
    with pytest.raises(ValueError, match="must be a predictor as `to_json` writes it") as got:
        Predictor.from_json(json.dumps(data))
    assert message in str(got.value) and "\n" not in str(got.value)


@examples(30)
@given(data=st.data())
def test_property_stored_priors(stored, data):
    """Refused in one line, or finite in every prediction."""
    text = data.draw(mutated_json(stored)).decode("utf-8", "replace")
    try:
        found = Predictor.from_json(text)
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
        return
    scores = {name: np.array([1.0, 2.0]) for name in found.scores}
    if found.prior is not None and len(found.encoding.parameters) == len(SPACE.parameters):
        width = len(found.prior.names)
        genes = np.zeros((2, len(SPACE.parameters)), dtype=int)
        features = np.ones((2, width))
        assert np.isfinite(found.predict(genes, scores, features)).all()


def test_what_labels_are_worth_by_hand():
    """On the line from 20 labels (.80) to 40 (.90), .85 is half way: 20 * sqrt(2)."""
    rows = [
        {"labels": labels, "method": method, "spearman_equal_flops": rho}
        for method, ranks in {
            WITHOUT: {20: 0.8, 40: 0.9, 100: 0.95},
            WITH: {10: 0.7, 20: 0.85, 40: 0.9, 100: 0.96},
        }.items()
        for labels, rho in ranks.items()
    ]
    assert labels_worth(rows) == {10: "< 20", 20: "28", 40: "40", 100: "> 100"}
    assert labels_worth([{**row, "method": "ridge"} for row in rows]) == {}


def test_a_prior_reads_back_from_json(prior):
    assert LabelPrior.from_json(json.loads(json.dumps(prior.to_json()))).to_json() == (
        prior.to_json()
    )
