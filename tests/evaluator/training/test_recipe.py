"""Recipes: the paper's, the schedule by a slow route, and options that are refused."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest

from evaluator.training.recipes.recipe import (
    MODERN,
    MODERN_SMALL,
    OPTIONS,
    PAPER,
    RECIPES,
    SHORT,
    Recipe,
    named_recipe,
)


def test_paper() -> None:
    """ShuffleNet v1 paper, section 4: batch 1024, 300k iterations, 0.5 to 0 linearly, 4e-5."""
    assert (PAPER.batch, PAPER.steps, PAPER.lr, PAPER.weight_decay) == (1024, 300_000, 0.5, 4e-5)
    assert PAPER.total_steps(1_281_167) == 300_000
    rates = [0.5 * PAPER.lr_factor(step, 300_000) for step in (0, 150_000, 299_999)]
    assert rates == pytest.approx([0.5, 0.25, 0.5 / 300_000])


def test_schedule_by_adding_up() -> None:
    """Rises by equal steps to 1, falls by equal steps to 0 after the last."""
    used = SHORT.changed(warmup=0.2)
    factors = [used.lr_factor(step, 50) for step in range(50)]
    assert max(factors) == 1.0
    assert factors[:10] == pytest.approx([(k + 1) / 10 for k in range(10)])
    falls = [a - b for a, b in zip(factors[10:], [*factors[11:], 0.0], strict=True)]
    assert falls == pytest.approx([1 / 40] * 40)


def test_cosine_by_its_formula() -> None:
    """SGDR (Loshchilov and Hutter 2017), equation 5, from the end of the rise to 0."""
    used = MODERN_SMALL.changed(warmup=0.2)
    factors = [used.lr_factor(step, 50) for step in range(50)]
    assert factors[:10] == pytest.approx([(k + 1) / 10 for k in range(10)])
    expected = [0.5 * (1 + math.cos(math.pi * k / 40)) for k in range(40)]
    assert factors[10:] == pytest.approx(expected)
    assert factors[10] == 1 and factors[30] == pytest.approx(0.5) and used.lr_factor(50, 50) == 0


def test_modern_is_torchvisions_recipe() -> None:
    """The command of pull request 5906 of pytorch/vision."""
    assert (MODERN.batch, MODERN.lr, MODERN.epochs) == (8 * 128, 0.5, 600)
    assert (MODERN.mixup, MODERN.cutmix, MODERN.erase) == (0.2, 1.0, 0.1)
    assert (MODERN.weight_decay, MODERN.label_smoothing) == (2e-5, 0.1)
    assert (MODERN.trivial, MODERN.decay_norm, MODERN.schedule) == (True, False, "cosine")
    assert MODERN.warmup * MODERN.epochs == pytest.approx(5)
    # references/classification/train.py: 1 - decay, times batch, steps and over epochs
    every_32 = (1 - 0.99998) * 1024 * 32 / 600
    assert MODERN.ema == pytest.approx(1 - every_32 / 32, abs=1e-5)


@pytest.mark.parametrize("name", ["modern", "modern-small"])
def test_each_part_can_be_changed(name: str) -> None:
    """Back to a recipe that an earlier version could have stored."""
    plain = {"schedule": "linear", "mixup": 0.0, "cutmix": 0.0, "erase": 0.0, "augment": "crop"}
    changed = named_recipe(name, **plain, decay="all", label_smoothing=0.0, ema=0.0, epochs=3.0)
    assert changed.decay_norm and changed.epochs == 3 and not changed.parts
    assert set(changed.record()) == set(SHORT.record())
    assert named_recipe("short", mixup=0.4).record() == SHORT.record() | {"mixup": 0.4}
    assert len(RECIPES[name].parts) == 7


def test_epochs_and_steps() -> None:
    assert SHORT.changed(batch=100, epochs=2.5).total_steps(1050) == 25
    assert SHORT.steps_per_epoch(1) == 1
    assert named_recipe("paper", epochs=2.0).total_steps(10_240) == 20
    assert named_recipe("short", steps=7).total_steps(10_240) == 7
    assert named_recipe("short", lr=None, batch=None) == SHORT


def test_record_round_trip() -> None:
    for each in RECIPES.values():
        assert Recipe.from_record(each.record()) == each
    # weight decay has another name in files
    assert set(OPTIONS) - {"decay"} <= set(MODERN.record())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch": 1}, "--batch must be from 2 to 65536; got 1"),
        ({"batch": 100_000_000}, "--batch must be from 2 to 65536; got 100000000"),
        ({"lr": 0.0}, "--lr must be from 1e-12 to 1000; got 0.0"),
        ({"lr": -1.0}, "--lr must be from 1e-12 to 1000; got -1.0"),
        ({"lr": float("nan")}, "--lr must be from 1e-12 to 1000; got nan"),
        ({"lr": float("inf")}, "--lr must be from 1e-12 to 1000; got inf"),
        ({"epochs": -1.0}, "--epochs must be from 0.001 to 1000000; got -1.0"),
        ({"epochs": 0.0}, "--epochs must be from 0.001 to 1000000; got 0.0"),
        ({"epochs": float("nan")}, "--epochs must be from 0.001 to 1000000; got nan"),
        ({"steps": 0}, "--steps must be from 1 to 100000000; got 0"),
        ({"input": 4}, "--input must be from 8 to 4096; got 4"),
        ({"weight_decay": float("nan")}, "--weight-decay must be from 0 to 1; got nan"),
        ({"label_smoothing": 1.0}, "--label-smoothing must be from 0 to 0.9999; got 1.0"),
        ({"drop": 3}, "--drop must be from 0 to 2; got 3"),
        ({"ema": 1.0}, "--ema must be from 0 to 0.999999; got 1.0"),
        ({"images": -5}, "--images must be from 2 to 1000000000; got -5"),
        ({"mixup": -0.1}, "--mixup must be from 0 to 100; got -0.1"),
        ({"cutmix": float("nan")}, "--cutmix must be from 0 to 100; got nan"),
        ({"erase": 1.5}, "--erase must be from 0 to 1; got 1.5"),
        ({"warmup": 1.0}, "--warmup must be from 0 to 0.9999; got 1.0"),
        ({"clip": -1.0}, "--clip must be from 0 to 1000000; got -1.0"),
        ({"schedule": "step"}, "--schedule must be one of linear, cosine; got 'step'"),
        ({"decay": "none"}, "--decay must be one of weights, all; got 'none'"),
        ({"augment": "trivial"}, "--augment must be one of flip, crop, scale, flip+trivial, "),
        ({"images": 0}, "--images must be from 2 to 1000000000; got 0"),
    ],
)
def test_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        named_recipe("short", **options)


def test_unknown() -> None:
    with pytest.raises(
        ValueError, match="recipe must be one of paper, short, modern, modern-small; got 'long'"
    ):
        named_recipe("long")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"lr": math.nan}, "`lr` must be a finite number from 1e-12 to 1000; got nan"),
        ({"lr": "0.1"}, "`lr` must be a finite number from 1e-12 to 1000; got '0.1'"),
        ({"batch": 1}, "`batch` must be an integer from 2 to 65536; got 1"),
        ({"batch": 8.5}, "`batch` must be an integer from 2 to 65536; got 8.5"),
        ({"epochs": 0}, "must have `steps` or `epochs`; got neither"),
        ({"clip": math.inf}, "`clip` must be a finite number of at least 0; got inf"),
        ({"skipped_strides": 3}, "`drop` must be an integer from 0 to 2; got 3"),
        ({"augment": "cut"}, "`augment` must be one of flip, crop, scale, flip+trivial, "),
        ({"schedule": "cos"}, "`schedule` must be one of linear, cosine; got 'cos'"),
        ({"mixup": -1.0}, "`mixup` must be a finite number from 0 to 100; got -1.0"),
        ({"erase": math.nan}, "`erase` must be a finite number from 0 to 1; got nan"),
        ({"momentum": 0.0}, "`momentum` must be above 0 for `nesterov`"),
    ],
)
def test_refused_by_the_recipe_itself(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        SHORT.changed(**options)


@pytest.mark.parametrize("change", [{"lr": None}, {"lr": [1]}, {"extra": 1}, {"batch": True}])
def test_records_of_a_wrong_kind(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be (a finite number|an integer|an object)"):
        Recipe.from_record(SHORT.record() | change)
    with pytest.raises(ValueError, match="must be an object with batch"):
        Recipe.from_record({k: v for k, v in SHORT.record().items() if k != "batch"})


def test_a_record_of_an_earlier_version() -> None:
    """As a stored label has it."""
    text = """{"name": "short", "input": 32, "batch": 128, "lr": 0.2, "weight_decay": 0.0005,
    "steps": 0, "epochs": 10, "momentum": 0.9, "nesterov": true, "warmup": 0.2, "decay_norm":
    false, "label_smoothing": 0.0, "ema": 0.0, "clip": 1.0, "augment": "crop", "drop": null}"""
    assert Recipe.from_record(json.loads(text)) == SHORT
    # It is written so again, with the field that came next.
    assert json.dumps(SHORT.record()) == " ".join(text.split())[:-1] + ', "images": 0}'


def test_other_images_than_square_ones_in_colour() -> None:
    wide = named_recipe("short", input="160x128", channels=1)
    assert (wide.size, wide.channels) == ((160, 128), 1)
    assert Recipe.from_record(json.loads(json.dumps(wide.record()))) == wide
    assert named_recipe("short", input="32x32") == named_recipe("short", input="32") == SHORT
    assert not {"width", "channels"} & set(SHORT.record())  # as earlier versions stored it
    for text in ("x", "32x", "3.2", "32x32x3", "0x10", "\u0663\u0662", ""):
        with pytest.raises(ValueError, match="--input must be"):
            named_recipe("short", input=text)
    with pytest.raises(ValueError, match="--input must be from 8 to 4096; got 5000"):
        named_recipe("short", input="32x5000")
    with pytest.raises(ValueError, match="`channels` must be 3 for colour or 1 for grey; got 2"):
        SHORT.changed(channels=2)
