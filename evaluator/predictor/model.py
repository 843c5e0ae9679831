"""Accuracy from 20 to 100 labels, for an array of genes in one call.

The regression fits the logarithm of the labels' error (100 % - accuracy), in which gains add up
better than in accuracy; ranks are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from evaluator.predictor.columns import Columns
from evaluator.predictor.encoding import Encoding, Scores
from evaluator.predictor.gaussian_process import GaussianProcess
from evaluator.predictor.prior import LabelPrior
from evaluator.predictor.ridge import FOLDS, Ridge, folds
from evaluator.predictor.stored import LEAST_LABELS as LEAST_LABELS
from evaluator.predictor.stored import (
    NO_FEATURES,
    StoredPredictor,
    check_labels,
    read_stored,
    stored_text,
)
from evaluator.score.closed_form import Floats
from space.architectures.search_space import SearchSpace
from space.common.stats import spearman

Regressor = Ridge | GaussianProcess
REGRESSORS: dict[str, type[Regressor]] = {"ridge": Ridge, "gp": GaussianProcess}
LEAST_ERROR = 0.01  # %: an accuracy of 100 counts as 99.99, as the logarithm of 0 is not finite


@dataclass(frozen=True)
class Predictor:
    """A fitted predictor; make one with `Predictor.fit`.

    Attributes:
        regressor: a name of REGRESSORS.
        genes, scores, accuracy: the labels, as `fit` takes them.
        constants: of the regression, as its class names them.
        prior: what is known before any label; None: nothing is.
        features: of the labelled networks, as the prior takes them, [n, features].
        cross_validated: rank correlation of accuracies with predictions for held-out labels, with
            constants chosen without them; what to expect on networks like the labelled ones. None:
            not computed, or not defined, as when all predictions are equal.

    Example:
        >>> import numpy as np
        >>> from space import ShuffleNetV2Space
        >>> from evaluator import score_genes
        >>> space = ShuffleNetV2Space()
        >>> genes = space.sample(60, np.random.default_rng(0))
        >>> accuracy = 30 + score_genes(space, genes)  # stands for measured accuracies
        >>> labels = genes[:40], accuracy[:40]
        >>> predictor = Predictor.fit(space, *labels, regressor="ridge", validate=False)
        >>> error = predictor.predict(genes[40:]) - accuracy[40:]
        >>> bool(abs(error).max() < 0.5)
        True
    """

    regressor: str
    encoding: Encoding
    genes: NDArray[np.int64]
    scores: Scores
    accuracy: Floats
    constants: tuple[float, ...]
    cross_validated: float | None
    prior: LabelPrior | None = None
    features: Floats = field(default_factory=lambda: NO_FEATURES)
    model: Regressor = field(init=False, repr=False)
    tables: tuple[tuple[int, Floats], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        columns = self._columns(self.genes, self.scores, self.features)
        model = REGRESSORS[self.regressor].fit(self.constants, columns, to_log(self.accuracy))
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "tables", _tables(self.encoding, model))

    @classmethod
    def fit(
        cls,
        space: SearchSpace,
        genes: NDArray[np.integer],
        accuracy: Floats,
        *,
        scores: Scores | None = None,
        prior: LabelPrior | None = None,
        features: Floats = NO_FEATURES,
        regressor: str = "gp",
        seed: int = 0,
        validate: bool = True,
    ) -> Predictor:
        """Fit on labels.

        Args:
            genes: int [n, parameters], the labelled networks.
            accuracy: [n], in %.
            scores: training-free scores by name, each [n].
            prior: what is known before any label; of the Gaussian process alone.
            features: of the networks, as the prior takes them, [n, features].
            seed: of the folds.
            validate: compute `cross_validated`, by five more fits.

        Raises:
            ValueError: fewer than 10 labels, labels of a wrong shape, out of 0 ... 100, not a
                number or all equal; an unknown regressor, or one that knows no prior; genes or
                scores that do not fit the space, or features the prior.
        """
        if regressor not in REGRESSORS:
            names = ", ".join(REGRESSORS)
            raise ValueError(f"`regressor` must be one of {names}; got {regressor!r}.")
        if prior is not None and regressor != "gp":
            raise ValueError(f"only regressor gp knows a prior; got {regressor}.")
        accuracy = np.asarray(accuracy, dtype=float)
        check_labels(genes, accuracy)
        scores = {name: np.asarray(v, dtype=float) for name, v in (scores or {}).items()}
        encoding = Encoding.of(space, scores)
        encoding.check(genes, scores)
        features = np.asarray(features, dtype=float)
        if prior is not None:
            prior.check(features, len(genes))
        columns, y = _columns(encoding, prior, genes, scores, features, features), to_log(accuracy)
        rng, kind = np.random.default_rng(seed), REGRESSORS[regressor]
        constants = kind.choose(columns, y, rng)
        validated = _cross_validate(kind, columns, y, rng) if validate else None
        labels = genes.astype(np.int64), scores, accuracy
        return cls(regressor, encoding, *labels, constants, validated, prior, features)

    def _columns(self, genes: NDArray[np.integer], scores: Scores, features: Floats) -> Columns:
        return _columns(self.encoding, self.prior, genes, scores, features, self.features)

    def _check(self, genes: NDArray[np.integer], scores: Scores, features: Floats) -> None:
        self.encoding.check(genes, scores)
        if self.prior is not None:
            self.prior.check(features, len(genes))

    def predict(
        self,
        genes: NDArray[np.integer],
        scores: Scores | None = None,
        features: Floats = NO_FEATURES,
    ) -> Floats:
        """Accuracy in %, [n], of genes int [n, parameters]; `scores` of the names of the fit, and
        `features` as its prior takes them.

        Raises:
            ValueError: genes, scores or features do not fit.
        """
        scores = scores or {}
        self._check(genes, scores, features)
        total = np.full(len(genes), self.model.offset)
        for column, table in self.tables:
            total += table.take(genes[:, column])
        standard, weights = self.encoding.standard(scores), self.model.trend_weights
        for weight, values in zip(weights[len(weights) - len(standard) :], standard, strict=True):
            total += weight * values
        if isinstance(self.model, GaussianProcess):
            total += self.model.bent(self.encoding.trend(genes, scores))
            if self.prior is not None:
                by_feature = self.prior.directions(self.features) @ self.model.prior_weights
                total += (features - self.features.mean(axis=0)) @ by_feature
        return from_log(total)

    def predict_interval(
        self,
        genes: NDArray[np.integer],
        scores: Scores | None = None,
        features: Floats = NO_FEATURES,
        *,
        deviations: float = 1.0,
    ) -> tuple[Floats, Floats, Floats]:
        """Accuracy in % with the lower and upper end of an interval, each [n].

        Args:
            deviations: half the interval's width, in standard deviations of a new label.

        Raises:
            ValueError: genes, scores or features do not fit, or the regressor is not the Gaussian
                process.
        """
        if not isinstance(self.model, GaussianProcess):
            raise ValueError(f"only regressor gp has intervals; got {self.regressor}.")
        scores = scores or {}
        self._check(genes, scores, features)
        mean, deviation = self.model.mean_and_deviation(self._columns(genes, scores, features))
        reach = deviations * deviation
        return from_log(mean), from_log(mean - reach), from_log(mean + reach)

    def to_json(self) -> str:
        """Labels and constants as text; `from_json` makes an equal predictor of it."""
        names = [each.name for each in fields(StoredPredictor)]
        return stored_text(StoredPredictor(**{name: getattr(self, name) for name in names}))

    @classmethod
    def from_json(cls, text: str) -> Predictor:
        """The predictor that `to_json` wrote.

        Raises:
            ValueError: `text` is something else.
        """
        try:
            found = read_stored(text)
            return cls(**{each.name: getattr(found, each.name) for each in fields(found)})
        except ValueError as error:
            raise ValueError(f"must be a predictor as `to_json` writes it; got {error}") from None


def to_log(accuracy: Floats) -> Floats:
    """- log(error in %) of an accuracy in %."""
    return -np.log(np.maximum(100 - accuracy, LEAST_ERROR))


def from_log(value: Floats) -> Floats:
    """The accuracy in % of which `to_log` is `value`."""
    return 100 - np.exp(-value)


def _columns(
    encoding: Encoding,
    prior: LabelPrior | None,
    genes: NDArray[np.integer],
    scores: Scores,
    features: Floats,
    labelled: Floats,
) -> Columns:
    """The columns of networks; `labelled` are the features of the labelled ones."""
    found = encoding.columns(genes, scores)
    if prior is None:
        return found
    return replace(found, prior=prior.columns(features, labelled, encoding.trend_names))


def _cross_validate(
    kind: type[Regressor], columns: Columns, y: Floats, rng: np.random.Generator
) -> float | None:
    """Rank correlation of `y` with predictions for held-out labels."""
    predicted, fold = np.empty(len(y)), folds(len(y), rng)
    for held in range(FOLDS):
        out = fold == held
        rest = columns.take(~out), y[~out]
        model = kind.fit(kind.choose(*rest, rng), *rest)
        predicted[out] = model.mean(columns.take(out))
    return spearman(predicted, y)


def _tables(encoding: Encoding, model: Regressor) -> tuple[tuple[int, Floats], ...]:
    """(column, [choices]): what each choice of a parameter adds, trend and one-hot together."""
    tables, trends = [], encoding.trends
    weights, hots = iter(model.trend_weights), model.hot_weights
    for column, parameter in enumerate(encoding.parameters):
        if parameter.active_choices > 1:
            table, hots = np.split(hots, [parameter.active_choices])
            if column in trends:
                table = table + trends[column] * next(weights)
            tables.append((column, table))
    return tuple(tables)
