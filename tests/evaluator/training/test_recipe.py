"""Recipes: the paper's, the schedule by a slow route, and options that are refused."""

from __future__ import annotations

import pytest

from evaluator.training.recipe import OPTIONS, PAPER, RECIPES, SHORT, Recipe, named_recipe


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


def test_epochs_and_steps() -> None:
    assert SHORT.changed(batch=100, epochs=2.5).total_steps(1050) == 25
    assert SHORT.steps_per_epoch(1) == 1
    assert named_recipe("paper", epochs=2.0).total_steps(10_240) == 20
    assert named_recipe("short", steps=7).total_steps(10_240) == 7
    assert named_recipe("short", lr=None, batch=None) == SHORT


def test_record_round_trip() -> None:
    for each in RECIPES.values():
        assert Recipe.from_record(each.record()) == each
    assert set(OPTIONS) <= set(SHORT.record())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch": 1}, "`batch` must be at least 2, for batch norm; got 1"),
        ({"lr": 0.0}, "`lr` must be above 0; got 0.0"),
        ({"lr": float("nan")}, "`lr` must be above 0; got nan"),
        ({"epochs": -1.0}, "`epochs` must be at least 0; got -1.0"),
        ({"epochs": 0.0}, "must have `steps` or `epochs`; got neither"),
        ({"input": 4}, "`input` must be at least 8; got 4"),
        ({"label_smoothing": 1.0}, "`label_smoothing` must be in 0..1, below 1; got 1.0"),
        ({"drop": 3}, "`drop` must be 0, 1 or 2; got 3"),
        ({"ema": 1.0}, "`ema` must be in 0..1, below 1; got 1.0"),
        ({"images": -5}, "`images` must be at least 0; got -5"),
    ],
)
def test_refused(options: dict[str, float], message: str) -> None:
    import re

    with pytest.raises(ValueError, match=re.escape(message)):
        named_recipe("short", **options)


def test_unknown() -> None:
    with pytest.raises(ValueError, match="recipe must be one of paper, short; got 'long'"):
        named_recipe("long")
