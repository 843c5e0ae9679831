"""A fitted predictor on disk: its labels and constants as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.predictor.encoding import SCORE, STORED_ENCODING, Encoding, Scores
from evaluator.predictor.gaussian_process import BOUNDS, PRIOR_BOUNDS
from evaluator.predictor.prior import STORED_PRIOR, LabelPrior
from evaluator.predictor.ridge import PENALTIES, WEIGHTS
from evaluator.score.closed_form import Floats
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
from space.common.text import shorten

LEAST_LABELS = 10
NO_FEATURES = np.zeros((0, 0))
FORMAT, FORMAT_WITH_PRIOR = 1, 2
# What `choose` of each regressor gives at least and at most.
CONSTANTS: dict[str, tuple[tuple[float, float], ...]] = {
    "ridge": ((float(PENALTIES[0]), float(PENALTIES[-1])), (min(WEIGHTS), max(WEIGHTS))),
    "gp": BOUNDS,
}
STORED = Record(
    {
        "format": Integer(),
        "engine": Text(choices=tuple(CONSTANTS)),
        **STORED_ENCODING,
        "constants": Items(Number(), most=10),
        "cross_validated": Maybe(Number(-1.0001, 1.0001)),
        "prior": STORED_PRIOR,
        "labels": Record(
            {
                "genes": Items(Items(Integer(0, 2**31))),
                "scores": Values(Items(SCORE)),
                "accuracy": Items(Number(0, 100)),
                "features": Items(Items(Number(-1e6, 1e6), most=1000)),
            },
            required=("genes", "scores", "accuracy"),
        ),
    },
    required=(
        "format", "engine", "space", "slots", "scores", "constants", "cross_validated", "labels",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredPredictor:
    """What a file has of a predictor (`evaluator.predictor.model`); its fields are explained
    there."""

    regressor: str
    encoding: Encoding
    genes: NDArray[np.int64]
    scores: Scores
    accuracy: Floats
    constants: tuple[float, ...]
    cross_validated: float | None
    prior: LabelPrior | None
    features: Floats


def stored_text(found: StoredPredictor) -> str:
    """One line of JSON; without a prior it is of the first format."""
    prior: dict[str, Any] = {}
    features: dict[str, Any] = {}
    if found.prior is not None:
        prior = {"prior": found.prior.to_json()}
        features = {"features": found.features.tolist()}
    data = {
        "format": FORMAT_WITH_PRIOR if prior else FORMAT,
        "engine": found.regressor,
        **found.encoding.to_json(),
        "constants": list(found.constants),
        "cross_validated": found.cross_validated,
        "labels": {
            "genes": found.genes.tolist(),
            "scores": {name: values.tolist() for name, values in found.scores.items()},
            "accuracy": found.accuracy.tolist(),
            **features,
        },
        **prior,
    }
    return json.dumps(data) + "\n"


def read_stored(text: str) -> StoredPredictor:
    """What `stored_text` wrote.

    Raises:
        ValueError: `text` is something else.
    """
    data = check(parse_json(text), STORED)
    known = data["format"] == FORMAT_WITH_PRIOR
    if not known and data["format"] != FORMAT:
        raise ValueError(
            f"format {data['format']}, and this program reads {FORMAT} and {FORMAT_WITH_PRIOR}"
        )
    labels, regressor = data["labels"], data["engine"]
    prior, features = _prior(data) if known else (None, NO_FEATURES)
    encoding = Encoding.from_json(data)
    genes = np.array(labels["genes"], dtype=np.int64)
    scores = {name: np.array(values, dtype=float) for name, values in labels["scores"].items()}
    accuracy = np.array(labels["accuracy"], dtype=float)
    check_labels(genes, accuracy)
    encoding.check(genes, scores)
    encoding.check_units(scores)
    constants = tuple(data["constants"])
    _check_constants(constants, CONSTANTS[regressor] + (PRIOR_BOUNDS if known else ()))
    return StoredPredictor(
        regressor=regressor,
        encoding=encoding,
        genes=genes,
        scores=scores,
        accuracy=accuracy,
        constants=constants,
        cross_validated=data["cross_validated"],
        prior=prior,
        features=features,
    )


def _prior(data: dict[str, Any]) -> tuple[LabelPrior, Floats]:
    """The prior in a file, and the features of the labels.

    Raises:
        ValueError: the file has none, or they do not fit.
    """
    if data["engine"] != "gp" or "prior" not in data or "features" not in data["labels"]:
        raise ValueError(
            f"format {FORMAT_WITH_PRIOR} must be of engine gp, and have a `prior` and the "
            "`features` of the labels"
        )
    prior = LabelPrior.from_json(data["prior"])
    features = np.array(data["labels"]["features"], dtype=float)
    prior.check(features, len(data["labels"]["genes"]))
    return prior, features


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


def check_labels(genes: NDArray[np.integer], accuracy: Floats) -> None:
    """ValueError if accuracies in %, [n], are no labels of n networks."""
    if accuracy.shape != (len(genes),) or len(genes) < LEAST_LABELS:
        raise ValueError(
            f"labels must be one accuracy for each of at least {LEAST_LABELS} networks; got "
            f"shape {accuracy.shape} for {len(genes)} networks."
        )
    if not (np.isfinite(accuracy).all() and accuracy.min() >= 0 and accuracy.max() <= 100):
        raise ValueError("accuracies must be in 0 ... 100 %; some are not, or not numbers.")
    if np.ptp(accuracy) == 0:
        raise ValueError(f"accuracies must differ; all are {accuracy[0]:g} %.")
