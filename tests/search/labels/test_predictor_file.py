"""The predictor of a search on disk: read as it was fitted, or fitted again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.labels.predicted import PredictedScore
from search.labels.score import score_of
from search.problem.problem import Evaluation, Floats, Problem, Score
from tests.helpers.hostile import examples, mutated_json

LABELS = 12


@pytest.fixture(scope="module")
def labels(problem: Problem) -> tuple[Evaluation, Floats]:
    """Random networks, and accuracies that follow the FLOPs and not the closed form."""
    rng = np.random.default_rng(3)
    found = problem.evaluate(problem.space.sample(LABELS, rng))
    return found, 90 - 20 * found.costs.flops / found.costs.flops.max() + rng.random(LABELS)


@pytest.fixture(scope="module")
def stored(
    problem: Problem, labels: tuple[Evaluation, Floats], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str, Floats]:
    """The name and the text of the predictor's file, and what the predictor answers."""
    folder = tmp_path_factory.mktemp("stored")
    score = _score(problem, labels, folder)
    (path,) = folder.iterdir()
    return path.name, path.read_text(encoding="utf-8"), _answers(problem, labels, score)


def _score(problem: Problem, labels: tuple[Evaluation, Floats], folder: Path) -> Score:
    names = [str(number) for number in range(LABELS)]
    score, _ = score_of(problem, *labels, stopped=0, names=names, folder=folder)
    assert isinstance(score, PredictedScore)
    return score


def _answers(problem: Problem, labels: tuple[Evaluation, Floats], score: Score) -> Floats:
    found, _ = labels
    return score(problem.space, found.genes, found.costs)


def test_read_from_disk_it_predicts_the_same(
    problem: Problem,
    labels: tuple[Evaluation, Floats],
    stored: tuple[str, str, Floats],
    tmp_path: Path,
) -> None:
    """To the last bit: a resumed search goes on with the numbers of the first run."""
    name, text, answers = stored
    data = json.loads(text)
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert (_answers(problem, labels, _score(problem, labels, tmp_path)) == answers).all()
    data["constants"][0] += 0.5  # as fitted on another machine: it is read, not fitted again
    (tmp_path / name).write_text(json.dumps(data), encoding="utf-8")
    assert (_answers(problem, labels, _score(problem, labels, tmp_path)) != answers).any()


@pytest.mark.parametrize(
    "change",
    [
        {"constants": [0.0, 0.0]},
        {"constants": [1e308, 0, 0, 0, 0, 0, 0]},
        {"format": 1, "constants": [-2.0, -2.0, 1.0, -4.0, -4.0]},  # of an earlier version
        {"cross_validated": "high"},
        {"engine": "ridge"},
        {"labels": {"genes": [], "scores": {}, "accuracy": []}},
        {"labels": []},
    ],
)
def test_a_damaged_file_is_fitted_again(
    problem: Problem,
    labels: tuple[Evaluation, Floats],
    stored: tuple[str, str, Floats],
    tmp_path: Path,
    change: dict[str, object],
) -> None:
    name, text, answers = stored
    path = tmp_path / name
    path.write_text(json.dumps(json.loads(text) | change), encoding="utf-8")
    assert (_answers(problem, labels, _score(problem, labels, tmp_path)) == answers).all()
    assert path.read_text(encoding="utf-8") == text


def test_a_pipe_in_its_place_is_refused(
    problem: Problem,
    labels: tuple[Evaluation, Floats],
    stored: tuple[str, str, Floats],
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / stored[0])
    with pytest.raises(ValueError, match=r"predictor-.*\.json: must be a file; it is a pipe"):
        _score(problem, labels, tmp_path)


@examples(10)
@given(data=st.data())
def test_property_predictor(
    problem: Problem,
    labels: tuple[Evaluation, Floats],
    stored: tuple[str, str, Floats],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    """Another constant is all that a changed file may bring in, and none that is out of range."""
    name, text, answers = stored
    folder = tmp_path_factory.mktemp("predictor")
    (folder / name).write_bytes(data.draw(mutated_json(text)))
    score, _ = score_of(
        problem, *labels, stopped=0, names=[str(n) for n in range(LABELS)], folder=folder
    )
    if isinstance(score, PredictedScore):
        found = _answers(problem, labels, score)
        assert np.isfinite(found).all()
        again = json.loads((folder / name).read_text(encoding="utf-8-sig"))
        if again["constants"] == json.loads(text)["constants"]:
            assert (found == answers).all()
