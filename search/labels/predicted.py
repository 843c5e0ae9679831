"""The score that a predictor fitted on labels gives, and its file."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evaluator.estimate.stored import shipped
from evaluator.predictor.encoding import Encoding
from evaluator.predictor.gaussian_process import BOUNDS, PRIOR_BOUNDS
from evaluator.predictor.model import Predictor
from evaluator.predictor.prior import LabelPrior, prior_features
from evaluator.predictor.stored import NO_FEATURES
from evaluator.score.genes import free_scores
from search.problem.problem import Evaluation, Floats, Problem
from space.architectures.search_space import Genes
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.files import write_atomic
from space.common.schema import Integer, Items, Maybe, Number, Record, Text, Values, read_json
from space.cost.lookup import Costs

REGRESSOR = "gp"
ALL_BOUNDS = (*BOUNDS, *PRIOR_BOUNDS)
LOWEST, HIGHEST = min(low for low, _ in ALL_BOUNDS), max(high for _, high in ALL_BOUNDS)
# What is read of the file of a predictor; the labels must be those of the search.
STORED = Record(
    {
        "format": Integer(1, 2),
        "engine": Text((REGRESSOR,)),
        "constants": Items(Number(LOWEST, HIGHEST), len(BOUNDS), len(ALL_BOUNDS)),
        "cross_validated": Maybe(Number(-1, 1)),
        "labels": Record(
            {
                "genes": Items(Items(Integer())),
                "scores": Values(Items(Number())),
                "accuracy": Items(Number(0, 100)),
            },
            required=("genes", "scores", "accuracy"),
        ),
    },
    required=("format", "engine", "constants", "cross_validated", "labels"),
)


@dataclass(frozen=True, slots=True)
class PredictedScore:
    """The accuracy in % that a predictor fitted on labels expects."""

    identity: str
    correlation: float
    labels: int
    predictor: Predictor = field(compare=False, repr=False)
    label: str = "predicted accuracy after short training in %"

    @property
    def line(self) -> str:
        prior = self.predictor.prior
        before = "" if prior is None else f" and a prior of {public_sources()} public sources"
        return (
            f"score: {self.label}, from {self.labels} labels{before}; "
            f"cross-validated rank correlation {self.correlation:.2f}. Not measured"
        )

    def __call__(self, space: ShuffleNetV2Space, genes: Genes, costs: Costs) -> Floats:
        prior = self.predictor.prior
        scores = _scores(space, genes, costs, prior)
        features = NO_FEATURES if prior is None else prior_features(space, genes)
        return self.predictor.predict(genes, scores, features)


def public_sources() -> int:
    """How many public sources and data sets the prior is pooled over."""
    studies = shipped().effects.studies
    return len({source for of in studies.values() for source in of})


def _scores(
    space: ShuffleNetV2Space, genes: Genes, costs: Costs, prior: LabelPrior | None
) -> dict[str, Floats]:
    """The scores that a predictor reads; a prior is in place of the closed form."""
    scores = free_scores(space, genes, costs.flops, costs.params)
    if prior is not None:
        del scores["closed form"]
    return scores


def stored_predictor(
    problem: Problem, found: Evaluation, accuracy: Floats, prior: LabelPrior | None, path: Path
) -> Predictor:
    """The predictor in a file, if it is of these labels; else one that is fitted and stored.

    Raises:
        ValueError: the labels are no labels of a predictor.
        OSError: the file cannot be read or written.
    """
    scores = _scores(problem.space, found.genes, found.costs, prior)
    features = NO_FEATURES if prior is None else prior_features(problem.space, found.genes)
    count = len(BOUNDS if prior is None else ALL_BOUNDS)
    with suppress(FileNotFoundError, ValueError):  # not fitted yet, or a damaged file
        data = read_json(path, STORED)
        labels = found.genes.astype(np.int64), scores, accuracy
        same = _same_labels(data["labels"], found.genes, accuracy, scores)
        if same and len(data["constants"]) == count:
            return Predictor(
                REGRESSOR,
                Encoding.of(problem.space, scores),
                *labels,
                tuple(data["constants"]),
                data["cross_validated"],
                prior,
                features,
            )
    predictor = Predictor.fit(
        problem.space,
        found.genes,
        accuracy,
        scores=scores,
        prior=prior,
        features=features,
        regressor=REGRESSOR,
    )
    write_atomic(path, predictor.to_json())
    return predictor


def _same_labels(
    stored: Mapping[str, Any], genes: Genes, accuracy: Floats, scores: Mapping[str, Floats]
) -> bool:
    """Whether a stored predictor is of these labels. Scores of another machine may differ in
    their last digits."""
    return (
        stored["genes"] == genes.tolist()
        and stored["accuracy"] == accuracy.tolist()
        and set(stored["scores"]) == set(scores)
        and all(
            len(stored["scores"][name]) == len(values)
            and np.allclose(stored["scores"][name], values, rtol=1e-9, atol=0)
            for name, values in scores.items()
        )
    )
