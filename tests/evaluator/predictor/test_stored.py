"""A stored predictor: what earlier versions wrote is read, all else is one line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.predictor.model import Predictor
from tests.helpers.hostile import examples, mutated_json

OLD = """{"format": 1, "engine": "%s", "space": "toy", "slots": [["width", [8, 16, 64], 3, ""],
["split", [[1, 4], [1, 2], [3, 4]], 3, ""], ["order", ["plain", "2-serial"], 2, ""]],
"scores": [["closed form", 4.5, 2.8722813232690143]], "constants": %s, "cross_validated": null,
"labels": {"genes": [[0, 0, 0], [1, 1, 0], [2, 2, 0], [0, 1, 1], [1, 2, 1], [2, 0, 1], [0, 2, 0],
[1, 0, 0], [2, 1, 1], [2, 2, 1]], "scores": {"closed form": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0,
7.0, 8.0, 9.0]}, "accuracy": [50.0, 60.0, 72.0, 55.0, 65.0, 66.0, 54.0, 57.0, 70.0, 75.0]}}"""


@pytest.mark.parametrize(
    ("regressor", "constants", "expected"),
    [
        ("ridge", [0.31622776601683794, 0.0], [60.648029371317584, 49.39333416417122]),
        (
            "gp",
            [
                -1.5049306346909694,
                -1.9532673554809663,
                0.9383970482626947,
                -4.656718613408882,
                -3.096781143193081,
            ],
            [61.01927878691216, 50.246714864977925],
        ),
    ],
)
def test_a_stored_predictor_loads_and_is_written_as_it_was(regressor, constants, expected):
    """The text and its predictions are of an earlier version."""
    text = OLD.replace("\n", " ") % (regressor, constants)
    stored = Predictor.from_json(text)
    genes, scores = np.array([[1, 1, 1], [0, 0, 1]]), {"closed form": np.array([3.0, 4.0])}
    assert stored.predict(genes, scores) == pytest.approx(expected, rel=1e-12)
    assert stored.to_json() == text + "\n"


GP = "[-1.5, -2.0, 0.9, -4.7, -3.1]"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"gp"', '"forest"', "`engine` must be one of ridge, gp; got 'forest'"),
        ("-1.5, -2.0", "-1.5", "constants must be 5 numbers in"),
        ("-1.5", "-150", "constants must be 5 numbers in"),
        ("[8, 16, 64]", "[8, 8, 64]", "`slots[0]` must have different choices"),
        ("[8, 16, 64], 3", "[8, 16, 64], 4", "as many as are active at least"),
        ("[1, 4]", "[1, 0]", "`slots[1]` must have choices whose divisor is not 0"),
        ("[8, 16, 64]", '"wide"', "`slots[0]`: `choices` must be a list"),
        ("4.5, 2.87", "4.5, 1e-300, 2.87", "`scores[0]` must be a list of 3 to 3 items"),
        ("2.8722813232690143", "1e-300", "scale of `closed form` must be 4.5 and 2.87228"),
        ("[0, 0, 0], [1", "[0, 0, 7], [1", "gene of `order` must be in 0..1"),
        ("[0, 0, 0], [1", "[0, 0], [1", "inhomogeneous"),
        ("50.0,", "150.0,", "`labels.accuracy[0]` must be a finite number from 0 to 100"),
        ("[50.0,", "[", "labels must be one accuracy for each of at least 10 networks"),
        ('"cross_validated": null', '"cross_validated": "x"', "`cross_validated` must be"),
    ],
)
def test_a_predictor_of_a_wrong_kind_is_one_line(old, new, message):
    text = OLD.replace("\n", " ") % ("gp", GP)
    assert old in text
    with pytest.raises(ValueError, match=r"^must be a predictor as `to_json` writes it;") as got:
        Predictor.from_json(text.replace(old, new, 1))
    assert message in str(got.value) and "\n" not in str(got.value)


@examples(60)
@given(content=mutated_json(OLD % ("gp", GP)), ridge=st.booleans())
def test_property_stored_predictors(content, ridge):
    """Refused in one line, or finite in every prediction."""
    text = content.decode("utf-8", "replace")
    if ridge:
        text = text.replace('"gp"', '"ridge"').replace(GP, "[0.3, 0.1]")
    try:
        stored = Predictor.from_json(text)
    except ValueError as error:
        assert str(error).startswith("must be a predictor as `to_json` writes it; got")
        assert "\n" not in str(error) and len(str(error)) < 2000
        return
    genes = np.zeros((2, len(stored.encoding.parameters)), dtype=int)
    scores = {name: np.array([1.0, 2.0]) for name in stored.scores}
    assert np.isfinite(stored.predict(genes, scores)).all()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "labels": {}}', "null"]
)
def test_damaged_text_is_refused(text):
    with pytest.raises(ValueError, match="must be a predictor as `to_json` writes it; got"):
        Predictor.from_json(text)
