"""Accuracy from 20 to 100 labels, for an array of genes in one call.

The regression fits the logarithm of the labels' error (100 % - accuracy), in which gains add up
better than in accuracy; ranks are the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evaluator.predictor.encoding import SCORE, STORED_ENCODING, Encoding, Scores
from evaluator.predictor.gaussian_process import BOUNDS, GaussianProcess
from evaluator.predictor.ridge import FOLDS, PENALTIES, WEIGHTS, Ridge, folds
from evaluator.score.closed_form import Floats
from space.architectures.search_space import SearchSpace
from space.common.schema import (
    Integer,
    Items,
    Maybe,
    Number,
    Record,
    Text,
    Values,
    check,
    parse_json,
)
from space.common.stats import spearman
from space.common.text import shorten

Regressor = Ridge | GaussianProcess
REGRESSORS: dict[str, type[Regressor]] = {"ridge": Ridge, "gp": GaussianProcess}
LEAST_LABELS = 10
LEAST_ERROR = 0.01  # %: an accuracy of 100 counts as 99.99, as the logarithm of 0 is not finite
# What `choose` of each regressor gives at least and at most.
CONSTANTS: dict[str, tuple[tuple[float, float], ...]] = {
    "ridge": ((float(PENALTIES[0]), float(PENALTIES[-1])), (min(WEIGHTS), max(WEIGHTS))),
    "gp": BOUNDS,
}
FORMAT = 1
STORED = Record(
    {
        "format": Integer(),
        "engine": Text(choices=tuple(REGRESSORS)),
        **STORED_ENCODING,
        "constants": Items(Number(), most=10),
        "cross_validated": Maybe(Number(-1.0001, 1.0001)),
        "labels": Record(
            {
                "genes": Items(Items(Integer(0, 2**31))),
                "scores": Values(Items(SCORE)),
                "accuracy": Items(Number(0, 100)),
            },
            required=("genes", "scores", "accuracy"),
        ),
    },
    required=(
        "format", "engine", "space", "slots", "scores", "constants", "cross_validated", "labels",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Predictor:
    """A fitted predictor; make one with `Predictor.fit`.

    Attributes:
        regressor: a name of REGRESSORS.
        genes, scores, accuracy: the labels, as `fit` takes them.
        constants: of the regression, as its class names them.
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
    model: Regressor = field(init=False, repr=False)
    tables: tuple[tuple[int, Floats], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        trend, hot = self.encoding.columns(self.genes, self.scores)
        model = REGRESSORS[self.regressor].fit(self.constants, trend, hot, to_log(self.accuracy))
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
        regressor: str = "gp",
        seed: int = 0,
        validate: bool = True,
    ) -> Predictor:
        """Fit on labels.

        Args:
            genes: int [n, parameters], the labelled networks.
            accuracy: [n], in %.
            scores: training-free scores by name, each [n].
            seed: of the folds.
            validate: compute `cross_validated`, by five more fits.

        Raises:
            ValueError: fewer than 10 labels, labels of a wrong shape, out of 0 ... 100, not a
                number or all equal; an unknown regressor; genes or scores that do not fit the
                space.
        """
        if regressor not in REGRESSORS:
            names = ", ".join(REGRESSORS)
            raise ValueError(f"`regressor` must be one of {names}; got {regressor!r}.")
        accuracy = np.asarray(accuracy, dtype=float)
        _check_labels(genes, accuracy)
        scores = {name: np.asarray(v, dtype=float) for name, v in (scores or {}).items()}
        encoding = Encoding.of(space, scores)
        encoding.check(genes, scores)
        labels = *encoding.columns(genes, scores), to_log(accuracy)
        rng, kind = np.random.default_rng(seed), REGRESSORS[regressor]
        constants = kind.choose(*labels, rng)
        validated = _cross_validate(kind, *labels, rng) if validate else None
        return cls(
            regressor, encoding, genes.astype(np.int64), scores, accuracy, constants, validated
        )

    def predict(self, genes: NDArray[np.integer], scores: Scores | None = None) -> Floats:
        """Accuracy in %, [n], of genes int [n, parameters]; `scores` of the names of the fit.

        Raises:
            ValueError: genes or scores do not fit.
        """
        scores = scores or {}
        self.encoding.check(genes, scores)
        total = np.full(len(genes), self.model.offset)
        for column, table in self.tables:
            total += table.take(genes[:, column])
        standard, weights = self.encoding.standard(scores), self.model.trend_weights
        for weight, values in zip(weights[len(weights) - len(standard) :], standard, strict=True):
            total += weight * values
        if isinstance(self.model, GaussianProcess):
            total += self.model.bent(self.encoding.trend(genes, scores))
        return from_log(total)

    def predict_interval(
        self, genes: NDArray[np.integer], scores: Scores | None = None, *, deviations: float = 1.0
    ) -> tuple[Floats, Floats, Floats]:
        """Accuracy in % with the lower and upper end of an interval, each [n].

        Args:
            deviations: half the interval's width, in standard deviations of a new label.

        Raises:
            ValueError: genes or scores do not fit, or the regressor is not the Gaussian process.
        """
        if not isinstance(self.model, GaussianProcess):
            raise ValueError(f"only regressor gp has intervals; got {self.regressor}.")
        scores = scores or {}
        self.encoding.check(genes, scores)
        mean, deviation = self.model.mean_and_deviation(*self.encoding.columns(genes, scores))
        reach = deviations * deviation
        return from_log(mean), from_log(mean - reach), from_log(mean + reach)

    def to_json(self) -> str:
        """Labels and constants as text; `from_json` makes an equal predictor of it."""
        data = {
            "format": FORMAT,
            "engine": self.regressor,
            **self.encoding.to_json(),
            "constants": list(self.constants),
            "cross_validated": self.cross_validated,
            "labels": {
                "genes": self.genes.tolist(),
                "scores": {name: values.tolist() for name, values in self.scores.items()},
                "accuracy": self.accuracy.tolist(),
            },
        }
        return json.dumps(data) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Predictor:
        """The predictor that `to_json` wrote.

        Raises:
            ValueError: `text` is something else.
        """
        try:
            data = check(parse_json(text), STORED)
            if data["format"] != FORMAT:
                raise ValueError(f"format {data['format']}, and this program reads {FORMAT}")
            labels, regressor = data["labels"], data["engine"]
            encoding = Encoding.from_json(data)
            genes = np.array(labels["genes"], dtype=np.int64)
            scores = {name: np.array(v, dtype=float) for name, v in labels["scores"].items()}
            accuracy = np.array(labels["accuracy"], dtype=float)
            _check_labels(genes, accuracy)
            encoding.check(genes, scores)
            encoding.check_units(scores)
            constants = tuple(data["constants"])
            _check_constants(constants, CONSTANTS[regressor])
            return cls(
                regressor, encoding, genes, scores, accuracy, constants, data["cross_validated"]
            )
        except ValueError as error:
            raise ValueError(f"must be a predictor as `to_json` writes it; got {error}") from None


def to_log(accuracy: Floats) -> Floats:
    """- log(error in %) of an accuracy in %."""
    return -np.log(np.maximum(100 - accuracy, LEAST_ERROR))


def from_log(value: Floats) -> Floats:
    """The accuracy in % of which `to_log` is `value`."""
    return 100 - np.exp(-value)


def _check_constants(
    constants: tuple[float, ...], ranges: tuple[tuple[float, float], ...]
) -> None:
    slack = 1e-6
    if len(constants) != len(ranges) or not all(
        least - slack <= value <= most + slack
        for value, (least, most) in zip(constants, ranges, strict=True)
    ):
        raise ValueError(
            f"constants must be {len(ranges)} numbers in {', '.join(map(str, ranges))}; "
            f"got {shorten(constants)}"
        )


def _check_labels(genes: NDArray[np.integer], accuracy: Floats) -> None:
    if accuracy.shape != (len(genes),) or len(genes) < LEAST_LABELS:
        raise ValueError(
            f"labels must be one accuracy for each of at least {LEAST_LABELS} networks; got "
            f"shape {accuracy.shape} for {len(genes)} networks."
        )
    if not (np.isfinite(accuracy).all() and accuracy.min() >= 0 and accuracy.max() <= 100):
        raise ValueError("accuracies must be in 0 ... 100 %; some are not, or not numbers.")
    if np.ptp(accuracy) == 0:
        raise ValueError(f"accuracies must differ; all are {accuracy[0]:g} %.")


def _cross_validate(
    kind: type[Regressor], trend: Floats, hot: Floats, y: Floats, rng: np.random.Generator
) -> float | None:
    """Rank correlation of `y` with predictions for held-out labels."""
    predicted, fold = np.empty(len(y)), folds(len(y), rng)
    for held in range(FOLDS):
        out = fold == held
        rest = trend[~out], hot[~out], y[~out]
        model = kind.fit(kind.choose(*rest, rng), *rest)
        predicted[out] = model.mean(trend[out], hot[out])
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
