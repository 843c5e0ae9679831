"""Rank correlations of a supernet's labels, with the labels given."""

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from evaluator.measured_file import Row, write_header, write_rows
from evaluator.recipe import Recipe
from evaluator.supernet_rank import as_text, rank
from evaluator.supernet_run import Labels
from space.shufflenet_v2 import ShuffleNetV2Space

SPACE = ShuffleNetV2Space()
LIMITS = {"depth2": (0, 1)}  # two or three units


def line(width: int, depth: int) -> str:
    return SPACE.text(SPACE.point((width, 2 * width, 4 * width), (depth, 4, 2)))


def row(name: str, architecture: str, accuracy: float, recipe: str = "short") -> Row:
    flops = SPACE.lower(SPACE.parse(architecture)).flops
    return Row(
        name=name, group="band 1", architecture=architecture, recipe=recipe, seed=0,
        accuracy=accuracy, validation=accuracy, loss=1.0, flops=flops // 7, params=1,
        flops_224=flops, cpu_s=1.0, seconds=1.0, torch="2", commit="c", date="d",
    )  # fmt: skip


@pytest.fixture
def labels() -> Labels:
    """Labels that grow with the first width."""
    flops = [SPACE.lower(SPACE.parse(line(width, 2))).flops for width in (24, 60)]
    told = {
        "sampler": {"limits": LIMITS, "flops": [flops[0], flops[1]]},
        "recipe": asdict(
            Recipe(name="short", input=32, batch=8, lr=0.1, weight_decay=0.0, drop=1, epochs=1)
        ),
    }
    found = Labels(SimpleNamespace(), SPACE, told)  # type: ignore[arg-type]
    column = SPACE.position("width2")
    found.accuracies = lambda genes: genes[:, column].astype(float)  # type: ignore[method-assign]
    return found


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    short = [row(f"no. {w}", line(w, 2), a) for w, a in zip(WIDTHS, SHORT, strict=True)]
    long = [row(f"no. {w}", line(w, 2), a, "long") for w, a in zip(WIDTHS, LONG, strict=True)]
    beyond = [row("deep", line(40, 4), 99.0), row("wide", line(96, 2), 99.0)]
    path = tmp_path / "rows.csv"
    write_rows(path, [*short, *long, *beyond])
    recipes = {"short": {"input": 32, "drop": 1}}
    write_header(path, {"schema": 1, "rows": 14, "recipes": recipes})
    return path


WIDTHS = 24, 28, 32, 36, 40, 44
SHORT = 40.0, 44.0, 41.0, 43.0, 42.0, 45.0
LONG = 70.0, 69.0, 65.0, 66.0, 64.0, 60.0


def test_networks_it_was_trained_for_are_ranked_by_both_recipes(
    labels: Labels, rows: Path
) -> None:
    told = rank(labels, rows)
    assert (told["networks"], told["of"]) == (6, 8)
    band, long = told["bands"]["band 1"], told["long"]["band 1"]
    assert band["networks"] == long["networks"] == 6
    order = np.argsort(np.argsort(SHORT))
    by_hand = 1 - 6 * ((order - np.arange(6)) ** 2).sum() / (6 * 35)
    assert band["supernet"] == pytest.approx(by_hand)
    assert long["supernet"] == pytest.approx(stats.spearmanr(WIDTHS, LONG).statistic)
    assert long["supernet"] < -0.9
    lines = as_text(told).splitlines()
    assert lines[0] == "these weights were trained for 6 of 8 trained networks"
    assert any(text.startswith("band 1, trained long") and "-0.94" in text for text in lines)


def test_too_few_are_an_error(labels: Labels, rows: Path) -> None:
    with pytest.raises(ValueError, match="has 4 trained networks that these weights were trained"):
        rank(labels, rows, most=4)


def test_limits_and_flops_decide(labels: Labels) -> None:
    genes = [SPACE.parse(line(w, d)).genes for w, d in ((24, 2), (24, 4), (60, 3))]
    flops = np.array([SPACE.lower(SPACE.architecture(g)).flops for g in genes])
    inside = labels.within(np.array(genes, dtype=np.int16), flops)
    assert inside.tolist() == [True, False, False]
