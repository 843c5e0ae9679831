"""What a result says where no winner is ahead of the baseline, and which files it then leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from latency.table.op_model import OpCostModel
from search.problem.baseline import baseline
from search.problem.budget import parse_budgets
from search.problem.estimate_score import with_estimate
from search.problem.problem import Problem
from search.problem.shape import IMAGENET
from search.result.advice import advice_lines, no_winner_line
from search.result.rows import result_rows
from search.result.search_result import SearchResult
from search.result.shelf import choose_shelf, shelf_prices
from search.result.text import print_result
from search.result.winners import winners
from search.result.write import export_winners, write
from space.architectures.shufflenet_v2 import ShuffleNetV2Space

PAPER = "stem=24 width=116,232,464 depth=4,8,4 split=1/2,1/2,1/2 kernel=3,3,3 head=1024"
LARGE_KERNELS = PAPER.replace("3,3,3", "5,5,5").replace("116,232,464", "108,220,464")
LATE = "stem=12 width=72,232,656 depth=5,4,12 split=5/8,5/8,1/4 kernel=3,3,3 head=640"
TARGET = "arm"


def result_of(problem: Problem, texts: list[str], folder: Path, *, shelf: bool) -> SearchResult:
    """The result of a search that tried these networks."""
    genes = [problem.space.parse(f"shufflenet_v2 {text}").genes for text in texts]
    found = problem.evaluate(np.array(genes, dtype=np.int16))
    base = baseline(problem)
    best = tuple(winners(found, base))
    rows = tuple(result_rows(problem, found, best, base))
    prices = shelf_prices(problem.table, IMAGENET) if shelf else None
    return SearchResult(
        target=TARGET,
        command="python -m search.run",
        seed=0,
        folder=folder,
        study=folder / "study.db",
        problem=problem,
        found=found,
        duplicates=0,
        baseline=base,
        winners=best,
        limit=None,
        rows=rows,
        shelf=None if prices is None else choose_shelf(prices, rows, problem),
    )


def estimated(problem: Problem, optimism: float = 0) -> Problem:
    return with_estimate(problem, recipe="torchvision", optimism=optimism)


NAME = "ShuffleNet v2 1x"
NONE = f"no network found is faster than {NAME} at its score, or scores higher at its latency"
MEAN = (
    "--optimism 1 ranks by the mean of the estimate, so that winner 1 is faster, and as likely "
    f"below {NAME} in top-1 as above it"
)
LABELS = "--data DIR replaces the estimate by labels, trained on your images"


@pytest.mark.parametrize(
    ("optimism", "said"),
    [
        (0, "once 1 standard deviation of the difference is taken off, "),
        (-1, "once 2 standard deviations of the difference are taken off, "),
        (0.5, "once 0.5 standard deviations of the difference are taken off, "),
        (1, ""),
        (2, ""),
    ],
)
def test_the_baseline_is_the_answer(
    optimism: float, said: str, problem: Problem, tmp_path: Path
) -> None:
    result = result_of(estimated(problem, optimism), [PAPER], tmp_path, shelf=False)
    assert result.winners == ()
    assert no_winner_line(result) == f"no winner: {said}{NONE}"
    words = [f"take {NAME}", *[MEAN] * (optimism < 1), LABELS]
    assert advice_lines(result) == [f"what to do: {'; '.join(words)}"]


def test_the_closed_form_has_no_mean(problem: Problem, tmp_path: Path) -> None:
    result = result_of(problem, [PAPER], tmp_path, shelf=False)
    assert no_winner_line(result) == f"no winner: {NONE}"
    (line,) = advice_lines(result)
    assert line == f"what to do: take {NAME}; {LABELS.replace('estimate', 'score')}"


def test_the_shelf_in_the_advice(problem: Problem, tmp_path: Path) -> None:
    """On the phone at 146M the shelf has nothing as good; at 591M it has RepGhost."""
    (line,) = advice_lines(result_of(estimated(problem), [PAPER], tmp_path, shelf=True))
    assert line.startswith(f"what to do: take {NAME}, published at 69.4 %; --optimism 1 ")
    large = replace(problem, budgets=parse_budgets(["591M"]))
    text = PAPER.replace("116,232,464", "244,488,976").replace("head=1024", "head=2048")
    (line,) = advice_lines(result_of(estimated(large), [text], tmp_path, shelf=True))
    assert line.startswith(
        "what to do: take RepGhost 1.5x off the shelf, or ShuffleNet v2 2x; --optimism 1 "
    )


def test_slower_winners(problem: Problem, tmp_path: Path) -> None:
    """A short search that did not try the baseline: what it found has the score in more time."""
    found = result_of(estimated(problem, 1), [LARGE_KERNELS], tmp_path, shelf=False)
    first, *_ = found.rows
    assert first.name == "winner 1" and first.speed_up is not None and first.speed_up < 1
    assert no_winner_line(found) == ""
    line, do = advice_lines(found)
    assert line == f"none found is faster than {NAME} at its score: take {NAME}"
    assert do == f"what to do: take {NAME}; {LABELS}"


def test_a_winner_that_is_as_good_as_level(
    space: ShuffleNetV2Space, arm: OpCostModel, tmp_path: Path
) -> None:
    """0.4 % faster and 0.1 points ahead."""
    large = estimated(Problem(space, arm, parse_budgets(["591M"])))
    text = "stem=28 width=244,464,1024 depth=4,8,4 split=1/2,1/2,1/2 kernel=3,3,3 head=2048"
    result = result_of(large, [text], tmp_path, shelf=False)
    assert [row.name for row in result.rows[:2]] == ["winner 1", "ShuffleNet v2 2x"]
    line, do = advice_lines(result)
    assert line == (
        "all winners are within 5% of ShuffleNet v2 2x's latency and within 0.5 points of its "
        "estimate, which is noise: it is as good a choice"
    )
    assert do.startswith("what to do: take ShuffleNet v2 2x; --optimism 1 ")


def test_a_winner_that_is_ahead_needs_no_advice(problem: Problem, tmp_path: Path) -> None:
    result = result_of(estimated(problem, 1), [PAPER, LATE], tmp_path, shelf=False)
    assert [row.name for row in result.rows[:1]] == ["winner 1"]
    assert (no_winner_line(result), advice_lines(result)) == ("", [])


def test_without_a_baseline(problem: Problem, tmp_path: Path) -> None:
    result = result_of(problem, [PAPER], tmp_path, shelf=False)
    result = replace(result, baseline=None)
    assert (no_winner_line(result), advice_lines(result)) == ("", [])


@pytest.mark.slow
def test_the_files_and_the_screen(
    problem: Problem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Baseline's weights, under its own name; an earlier answer's winners go, and the reverse."""
    (tmp_path / "winner-1.onnx").touch()
    result = write(export_winners(result_of(estimated(problem), [PAPER], tmp_path, shelf=False)))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "baseline.onnx", "baseline.safetensors", "winners.json", "front.csv", "front.png"
    }  # fmt: skip
    record = json.loads((tmp_path / "winners.json").read_text("utf-8"))
    assert record["winners"] == []
    assert record["baseline"]["files"] == ["baseline.safetensors", "baseline.onnx"]
    assert record["advice"] == [no_winner_line(result), *advice_lines(result)]
    print_result(result)
    out = capsys.readouterr().out
    assert "\nwinner" not in out
    for line in record["advice"]:
        assert line in out.splitlines()
    assert f"{NAME}: baseline.safetensors, baseline.onnx; ONNX against torch: " in out
    other = result_of(estimated(problem, 1), [PAPER, LATE], tmp_path, shelf=False)
    write(export_winners(other))
    names = {path.name for path in tmp_path.iterdir() if path.suffix == ".onnx"}
    assert names == {"winner-1.onnx"}
