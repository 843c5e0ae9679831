"""The file of the estimate: what is written is read, and damage is one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from evaluator.estimate import RECIPES
from evaluator.estimate.fit import EFFECTS
from evaluator.estimate.model import AccuracyModel
from evaluator.estimate.stored import (
    SHIPPED,
    fit_public,
    read_fitted,
    read_public,
    shipped,
    write_fitted,
)
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from tests.helpers.hostile import examples, mutated_json

VALID = SHIPPED.read_text(encoding="utf-8")


def test_the_shipped_file_says_where_its_numbers_come_from():
    content = json.loads(VALID)
    assert set(content["curves"]) == set(RECIPES)
    for name in ("date", "commit", "command", "versions"):
        assert content[name]
    assert not content["commit"].endswith("-dirty")
    for source in content["sources"].values():
        assert source["licence"] and source["networks"] > 1000
    for curve in content["curves"].values():
        assert curve["licence"] and curve["source"] and len(curve["flops"]) >= 4
    studies = {name for of in content["studies"].values() for name in of}
    assert studies - set(content["sources"]) == {"mobilenetv2"}


def test_a_recipe_that_is_not_known_lists_the_known_ones():
    with pytest.raises(ValueError, match="must be one of torchvision, megvii, paddle, gluon"):
        shipped().curve("mine")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "must be an estimate of schema 1; got 2"),
        ({"scatter": -1}, "`scatter` must be a finite number from 0 to 100; got -1"),
        ({"effects": {}}, "`effects` must be an object with growth, depth, kernel, scale"),
        ({"curves": {"a": {}}}, "`curves.a` must be an object with coefficients"),
    ],
)
def test_a_file_of_another_kind_is_one_line(tmp_path, change, message):
    path = tmp_path / "e.json"
    path.write_text(json.dumps(json.loads(VALID) | change), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"^{path}:? [^\n]*{message}[^\n]*$"):
        read_fitted(path)


@examples(30)
@given(content=mutated_json(VALID))
def test_property_estimate_file(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("estimate") / "e.json"
    path.write_bytes(content)
    try:
        fitted = read_fitted(path)
    except ValueError as error:
        assert "\n" not in str(error) and str(path) in str(error)
        return
    for curve in fitted.curves.values():
        try:
            AccuracyModel(ShuffleNetV2Space(), curve, fitted.effects)
        except ValueError as error:
            assert "\n" not in str(error)


@pytest.fixture
def tables(public_data: Path) -> Path:
    for name in ("dynas_ofa", "imagenet_zoo"):
        if not (public_data / name).is_dir():
            pytest.skip(f"needs {public_data / name}, which is not here")
    return public_data


@pytest.mark.slow
def test_the_shipped_file_is_what_the_sources_give(tables, tmp_path):
    public = read_public(tables)
    fitted = fit_public(public)
    path = tmp_path / "e.json"
    write_fitted(path, fitted, public)
    for other in (read_fitted(path), shipped()):
        assert other.effects.scatter == pytest.approx(fitted.effects.scatter, rel=1e-5)
        for name in EFFECTS:
            mine, its = getattr(fitted.effects, name), getattr(other.effects, name)
            assert (its.mean, its.between, its.variance) == pytest.approx(
                (mine.mean, mine.between, mine.variance), rel=1e-5
            )
        for recipe, curve in fitted.curves.items():
            at = np.log([2e7, 1e8, 1e9])
            assert other.curves[recipe].top1(at) == pytest.approx(curve.top1(at))
            assert other.curves[recipe].variance(at) == pytest.approx(curve.variance(at))
            assert other.points[recipe] == (fitted.points[recipe][0], fitted.points[recipe][1])
