"""Pictures: whatever a target or a device is called, they are drawn and warn of nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from latency.table.op_model import OpCostModel
from search.comparison.compare import Comparison, compare_networks
from search.comparison.report import draw_paper_figure
from search.problem.problem import Problem
from search.result.picture import LONGEST, draw_front, wrapped

NAMES = (
    "run^$ and $x",
    r"$\frac{$ \unknown{}",
    "a\nb\tc\x1b[31m\x00",
    "\u4e2d\u6587 \U0001f600 \u202e",
    "\ud800",
    "[/x] %s {} {0}",
    "w" * 200_000,
    "word " * 40_000,
)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_front_of_any_name(
    name: str, problem: Problem, arm: OpCostModel, tmp_path: Path
) -> None:
    found = problem.evaluate(problem.space.sample(20, np.random.default_rng(0)))
    device = wrapped(name, 10_000)[:900].replace("\n", " ")  # what a header may hold
    table = replace(arm, header=replace(arm.header, device=device))
    named = Problem(problem.space, table, problem.budgets)
    draw_front(tmp_path / "front.png", named, found, [], name)
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES[:5], ids=range(5))
def test_the_papers_figure_of_any_name(name: str, tmp_path: Path) -> None:
    found = compare_networks("arm", names=["ShuffleNet v2 1.0x", "MobileNet v2 1.0"])
    named: Comparison = replace(found, target=name, line=name)
    draw_paper_figure(tmp_path / "figure.png", named)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_dollars_are_drawn_as_they_are(tmp_path: Path, problem: Problem) -> None:
    """Two names that mathematics would show alike give two pictures."""
    found = problem.evaluate(problem.space.sample(20, np.random.default_rng(0)))
    for number, name in enumerate(("$a$", "a")):
        draw_front(tmp_path / f"{number}.png", problem, found, [], name)
    assert (tmp_path / "0.png").read_bytes() != (tmp_path / "1.png").read_bytes()


def test_long_texts_are_cut() -> None:
    assert len(wrapped("x" * 10_000, 80)) < 1.1 * LONGEST
    assert wrapped("one two\x07", 80) == "one two\\x07"
