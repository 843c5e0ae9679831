"""What a search is asked for: its folder, its command, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.labels.config import LabelOptions
from search.run import config_of, parser
from search.workflow.config import SearchConfig

ARM: dict[str, Any] = {"target": "arm", "budgets": ("146M",)}


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        ({}, "arm-146M"),
        ({"target": "my tables/pixel 6.json"}, "pixel_6-146M"),
        ({"relax": ("g4", "g1", "g4"), "seed": 3}, "arm-146M-relax-g1-relax-g4-seed3"),
        ({"guidelines": Path("a/limits.json"), "sampler": "tpe"}, "arm-146M-limits-tpe"),
        (
            {"labels": LabelOptions(data="x", labels_from="b/rows.csv")},
            "arm-146M-trained-labels-rows",
        ),
    ],
)
def test_default_folder(options: dict[str, Any], folder: str) -> None:
    assert SearchConfig(**{**ARM, **options}).folder == Path("out") / folder
    assert SearchConfig(**{**ARM, **options}, out=Path("x")).folder == Path("x")


def test_the_command_gives_an_equal_config() -> None:
    config = SearchConfig(
        target="a table.json",
        budgets=("146M", "30ms"),
        trials=7,
        seed=2,
        relax=("g4",),
        guidelines=Path("limits.json"),
        sampler="random",
        labels=LabelOptions(
            data="a folder",
            labels=20,
            no_prune=True,
            seeds=1,
            recipe_options={"lr": 0.1, "drop": 0},
        ),
    )
    import shlex

    words = shlex.split(config.command)
    assert words[:3] == ["python", "-m", "search.run"]
    assert config_of(parser().parse_args(words[3:])) == config


@pytest.mark.parametrize(
    ("options", "rule"), [({"trials": 0}, "--trials"), ({"seed": -1}, "--seed")]
)
def test_refused(options: dict[str, int], rule: str) -> None:
    with pytest.raises(ValueError, match=f"{rule} must be at least"):
        SearchConfig(**ARM, **options)
