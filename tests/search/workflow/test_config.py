"""What a search is asked for: its folder, its command, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.labels.config import LabelOptions
from search.run import config_of, parser
from search.workflow.config import SearchConfig, split_inputs

ARM: dict[str, Any] = {"target": "arm", "budgets": ("146M",)}


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        ({}, "arm-146M"),
        ({"target": "my tables/pixel 6.json"}, "pixel_6-146M"),
        ({"relax": ("g4", "g1", "g4"), "seed": 3}, "arm-146M-relax-g1-relax-g4-seed3"),
        (
            {"input": "160x128", "channels": 1, "classes": 10},
            "arm-146M-160x128-channels1-classes10",
        ),
        ({"score": "closed-form"}, "arm-146M"),
        ({"score": "estimate"}, "arm-146M"),
        (
            {"score": "estimate", "estimate_recipe": "megvii", "optimism": -0.5},
            "arm-146M-megvii-optimism-0.5",
        ),
        ({"target": "t" * 250 + ".json"}, "t" * 100 + "-146M"),
        (
            {"labels": LabelOptions(data="x", labels=0), "optimism": 1.0},
            "arm-146M-optimism1-trained",
        ),
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
        input="160x128",
        channels=3,
        classes=10,
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
    ("options", "rule"),
    [
        ({"trials": 0}, "--trials must be from 1"),
        ({"seed": -1}, "--seed must be from 0"),
        ({"channels": 0}, "--channels must be from 1 to 1024; got 0"),
        ({"classes": 10**9}, "--classes must be from 1 to 250000; got 1000000000"),
        ({"target": " "}, "--target must be a name such as arm"),
    ],
)
def test_refused(options: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        SearchConfig(**{**ARM, **options})


@pytest.mark.parametrize(
    ("words", "trained", "found"),
    [
        ([], False, (None, None)),
        (["160x128"], False, ("160x128", None)),
        (["32"], True, (None, 32)),
        (["32", "160x128"], True, ("160x128", 32)),
    ],
)
def test_two_inputs(words: list[str], trained: bool, found: tuple[str | None, int | None]) -> None:
    assert split_inputs(words, trained=trained) == found


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["160"], "HEIGHTxWIDTH such as 160x160; got '160', a side of training images"),
        (["160x"], "HEIGHTxWIDTH such as 224x224; got '160x'"),
        (["0x160"], "got '0x160'"),
        (["\u0661x1"], "got '\u0661x1'"),
        (["9" * 200_000 + "x1"], "got '999"),
        (["32x32", "64x64"], "--input must come once"),
    ],
)
def test_inputs_refused(words: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)) as error:
        split_inputs(words, trained=False)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("score", [None, "estimate", "closed-form"])
def test_the_command_has_the_score(score: str | None) -> None:
    config = SearchConfig(**ARM, score=score, out=Path("x"))
    words = config.command.split()[3:]
    again = config_of(parser().parse_args([*words, "--out", "x"]))
    assert again == replace(config, score=score or "estimate")
    assert again.command == config.command


@pytest.mark.parametrize(
    ("labels", "estimated"),
    [
        (LabelOptions(), True),
        (LabelOptions(data="x", labels=0), True),
        (LabelOptions(data="x"), False),
        (LabelOptions(data="x", labels=20), False),
        (LabelOptions(labels_from="x"), False),
        (LabelOptions(data="x", labels_from="x"), False),
    ],
)
def test_the_estimate_is_the_score_where_no_labels_make_one(
    labels: LabelOptions, estimated: bool
) -> None:
    config = SearchConfig(**ARM, labels=labels)
    assert config.estimated is estimated
    assert ("--score estimate" in config.command) is estimated
    if estimated:
        assert not SearchConfig(**ARM, labels=labels, score="closed-form").estimated


@pytest.mark.parametrize("optimism", [0.1234567, -2.5, 1e-7])
def test_the_command_has_the_whole_optimism(optimism: float) -> None:
    config = SearchConfig(**ARM, score="estimate", optimism=optimism)
    assert config_of(parser().parse_args(config.command.split()[3:])) == config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": "accuracy"}, "--score must be one of estimate, closed-form; got 'accuracy'"),
        ({"estimate_recipe": "timm"}, "--estimate-recipe must be one of torchvision, megvii"),
        ({"optimism": 11.0}, "--optimism must be from -10 to 10; got 11"),
        ({"optimism": float("nan")}, "--optimism must be from -10 to 10; got nan"),
        (
            {"score": "estimate", "labels": LabelOptions(data="x")},
            "--score estimate must be without labels, which make another score",
        ),
        (
            {"score": "closed-form", "labels": LabelOptions(labels_from="x")},
            "--score closed-form must be without labels, which make another score",
        ),
        (
            {"score": "estimate", "labels": LabelOptions(data="x", labels_from="x", labels=0)},
            "--score estimate must be without labels",
        ),
        (
            {"score": "closed-form", "optimism": 1.0},
            "--optimism must be without --score closed-form: it is of the estimate",
        ),
        (
            {"estimate_recipe": "megvii", "labels": LabelOptions(data="x")},
            "--estimate-recipe must be without labels: it is of the estimate",
        ),
    ],
)
def test_a_score_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        SearchConfig(**{**ARM, **options})
