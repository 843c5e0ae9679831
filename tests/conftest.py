"""Fixtures that several test files use."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from latency.table.load import load_table
from latency.table.op_model import OpCostModel
from search.problem.budget import parse_budgets
from search.problem.problem import Problem
from space.architectures.search_space import Architecture
from space.architectures.shufflenet_v2 import ShuffleNetV2Space

ROOT = Path(__file__).resolve().parent.parent
ALL = ("g1", "g2", "g3", "g4")


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Debian packages and wheels are kept: $G4NAS_TEST_CACHE, or fetched once a session."""
    path = Path(os.environ.get("G4NAS_TEST_CACHE") or tmp_path_factory.mktemp("downloads"))
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of measurements beside the checkout; skips the test where it is missing."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared, which is not here")
    return folder


@pytest.fixture(scope="session")
def paper(shared: Path) -> Callable[[str], list[dict[str, str]]]:
    """Rows of one of the paper's tables by file name."""

    def rows(name: str) -> list[dict[str, str]]:
        path = shared / "data" / "paper" / name
        if not path.is_file():
            pytest.skip(f"needs ../shared/data/paper/{name}, which is not here")
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return rows


@pytest.fixture(scope="session")
def space() -> ShuffleNetV2Space:
    """The space at 224x224, closed."""
    return ShuffleNetV2Space()


@pytest.fixture(scope="session")
def relaxed_space(space: ShuffleNetV2Space) -> ShuffleNetV2Space:
    """The space at 224x224 with every guideline-breaking axis open."""
    return space.relaxed(ALL)


@pytest.fixture(scope="session")
def samples(
    space: ShuffleNetV2Space, relaxed_space: ShuffleNetV2Space
) -> Callable[[int, int], list[Architecture]]:
    """samples(n, seed): n closed architectures, then n with every axis open."""

    def draw(n: int, seed: int) -> list[Architecture]:
        rng = np.random.default_rng(seed)
        rows = [*space.sample(n, rng), *relaxed_space.sample(n, rng)]
        return [space.architecture(row) for row in rows]

    return draw


@pytest.fixture(scope="session")
def arm() -> OpCostModel:
    """The shipped table of the paper's ARM chip."""
    table = load_table("arm")
    assert isinstance(table, OpCostModel)
    return table


@pytest.fixture(scope="session")
def problem(space: ShuffleNetV2Space, arm: OpCostModel) -> Problem:
    """The main job: 146M on ARM, every guideline kept."""
    return Problem(space, arm, parse_budgets(["146M"]))


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough pictures for a tenth of each class of the training part to be set aside: 20 each."""
    from tests.helpers.images import image_folder

    return image_folder(tmp_path_factory.mktemp("more"), each=20)


@pytest.fixture(scope="session")
def small_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a few small images of three classes."""
    from tests.helpers.images import image_folder

    return image_folder(tmp_path_factory.mktemp("small-images"))


@pytest.fixture
def image_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded images are kept for this session's tests alone."""
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
