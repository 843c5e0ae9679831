from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from latency.engines.null import RUN_S, block_s
from latency.table.header import latency_line, mean_error
from latency.table.load import load_table, shipped_tables
from latency.table.op_model import OpCostModel
from search.problem.baseline import Baseline, baseline
from search.problem.budget import parse_budgets
from search.problem.problem import Evaluation, Problem
from search.result.rows import ResultRow, other_rows, result_rows, with_measurements
from search.result.text import print_rows
from search.result.winners import Winner, front, limit_of, winners
from search.result.write import draw_front, front_csv
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.errors import MissingOpError
from space.cost.guidelines import Guidelines
from space.zoo.catalog import PAPER_NETWORKS


@pytest.fixture(scope="module")
def found(problem: Problem) -> Evaluation:
    return problem.evaluate(problem.space.sample(2000, np.random.default_rng(0)))


@pytest.fixture(scope="module")
def base(problem: Problem) -> Baseline:
    result = baseline(problem)
    assert result is not None
    return result


@pytest.fixture(scope="module")
def rows(problem: Problem, found: Evaluation, base: Baseline) -> list[ResultRow]:
    return result_rows(problem, found, winners(found, base), base)


def test_rows_are_recounted(rows: list[ResultRow], problem: Problem, arm: OpCostModel) -> None:
    paper = problem.space.lower(problem.space.point((116, 232, 464)))
    paper_s = arm.network_s(paper.blocks)
    for row in rows:
        if row.architecture:
            network = problem.space.lower(problem.space.parse(row.architecture))
        else:
            network = next(
                n for n in (make() for make in PAPER_NETWORKS.values()) if n.name == row.name
            )
        assert row.flops == network.flops
        assert row.params == network.params
        assert row.latency_s == pytest.approx(arm.network_s(network.blocks))
        assert row.speed_up == pytest.approx(paper_s / arm.network_s(network.blocks))
        numbers = Guidelines.of(network.blocks)
        for name in ("g1", "g2", "g3", "g4"):
            assert getattr(row.guidelines, name) == pytest.approx(getattr(numbers, name))


def test_order_of_rows(rows: list[ResultRow]) -> None:
    *first, base, shufflenet, mobilenet = rows
    assert [row.name for row in first] == [f"winner {i}" for i in range(1, len(first) + 1)]
    assert (base.name, base.role, base.speed_up) == ("ShuffleNet v2 1x", "baseline", 1.0)
    assert shufflenet.name.startswith("ShuffleNet v1")
    assert mobilenet.name.startswith("MobileNet v2")
    assert shufflenet.score is None
    assert mobilenet.score is None


def test_others_are_the_nearest_in_flops(arm: OpCostModel) -> None:
    for flops in (40e6, 146e6, 300e6, 9e9):
        for row in other_rows(arm, flops):
            family = " ".join(row.name.split()[:2])
            every = [m().flops for name, m in PAPER_NETWORKS.items() if name.startswith(family)]
            assert abs(row.flops - flops) == min(abs(f - flops) for f in every)
            assert row.speed_up is None


class PartialTable:
    """Knows the blocks of the space, no others."""

    def __init__(self, table: OpCostModel) -> None:
        self.header, self.predict = table.header, table.predict

    def network_s(self, blocks: object) -> float:
        raise MissingOpError("no such block")


def test_a_table_that_cannot_tell(
    problem: Problem, found: Evaluation, arm: OpCostModel, capsys: pytest.CaptureFixture[str]
) -> None:
    partial = Problem(ShuffleNetV2Space(), PartialTable(arm), problem.budgets)  # type: ignore[arg-type]
    base = baseline(partial)
    rows = result_rows(partial, found, winners(found, base), base)
    assert [row.latency_s for row in rows[-2:]] == [None, None]
    assert [row.speed_up for row in rows[-2:]] == [None, None]
    assert rows[-1].record(arm.header)["latency_s"] is None
    print_rows(rows, arm.header)
    out = capsys.readouterr().out
    assert out.count("latency -: the table has no such blocks") == 1
    assert "run whole" not in out


def test_without_a_baseline(problem: Problem, found: Evaluation) -> None:
    rows = result_rows(problem, found, winners(found, None), None)
    assert {row.speed_up for row in rows} == {None}
    assert "baseline" not in {row.role for row in rows}
    assert limit_of(problem, found, None) is None


def test_every_latency_has_its_source(rows: list[ResultRow], arm: OpCostModel) -> None:
    for row in rows:
        record = row.record(arm.header)
        assert record["latency_source"] == "published"
        assert record["latency_mean_abs_error"] == arm.header.network_error["mean_abs_error"]
        assert json.loads(json.dumps(record)) == record


@pytest.mark.parametrize("target", ["arm", "gpu"])
def test_latency_line(target: str) -> None:
    header = load_table(target).header
    line = latency_line(header)
    assert line.startswith(f"latency: published: {header.device}")
    assert f"mean error {header.network_error['mean_abs_error']:.1%} on 18 whole networks" in line
    unjudged = latency_line(replace(header, network_error={}))
    assert unjudged == f"latency: {header.label}; its error on whole networks is not known"


@pytest.mark.parametrize("columns", ["40", "80", "300"])
def test_no_number_is_cut(
    columns: str,
    rows: list[ResultRow],
    arm: OpCostModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    gpu = load_table("gpu").header
    print_rows(rows, gpu)
    lines = capsys.readouterr().out.splitlines()
    assert "latency of 8" in lines[0]
    assert not any("\u2026" in line for line in lines)
    for row in rows:
        line = next(text for text in lines if text.startswith(row.name))
        assert f"{row.speed_up:.2f}x" in line
        assert line.rstrip().endswith(f"{row.guidelines.g4:.3f}")
    assert latency_line(gpu) in lines


def test_bytes_are_shown_where_a_budget_limits_them(
    problem: Problem, arm: OpCostModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """ShuffleNet v2 1x has 2,278,604 parameters. The stem's convolution takes an image and writes
    24 channels at 112x112; the branch that halves 56x56 begins with 24 channels there, the
    projection at 28x28, and 58 channels at 56x56."""
    unit, stem = 56**2 * (24 + 58) + 28**2 * 58, 224**2 * 3 + 112**2 * 24
    limited = replace(problem, budgets=parse_budgets(["146M", "9.5MB", "2MBpeak"]))
    base = baseline(limited)
    assert base is not None and base.name == "ShuffleNet v2 1x"
    (row, *others) = result_rows(limited, base.found, [], base)
    assert row.held == {"weight_bytes": 4 * 2_278_604, "peak_bytes": 4 * max(unit, stem)}
    assert row.record(arm.header)["peak_bytes"] == 4 * stem
    assert {name for other in others for name in other.held} == set(row.held)
    print_rows([row, *others], arm.header)
    heading, first, *_ = capsys.readouterr().out.splitlines()
    assert re.search(r"params +weights +memory +latency", heading)
    assert re.search(r" 9\.114 MB +1\.806 MB ", first)
    (row, *_) = result_rows(problem, base.found, [], base)
    assert not row.held and "peak_bytes" not in row.record(arm.header)


@pytest.mark.slow
def test_limit_of(problem: Problem, found: Evaluation, base: Baseline) -> None:
    limit = limit_of(problem, found, base)
    good = found.feasible & (found.score >= base.found.score[0])
    fast = found.feasible & (found.costs.latency_s <= base.found.costs.latency_s[0])
    if not (good.any() and fast.any()):
        assert limit is None
        return
    assert limit is not None
    assert limit.found_latency_s == found.costs.latency_s[good].min() >= limit.latency_s
    assert limit.found_score == found.score[fast].max() <= limit.score
    gap = limit.found_latency_s / limit.latency_s - 1
    assert f"at most {gap:.1%} from the best" in limit.lines("base")[0]


def test_no_limit_with_open_axes(
    space: ShuffleNetV2Space, arm: OpCostModel, found: Evaluation, base: Baseline
) -> None:
    relaxed = Problem(space, arm, parse_budgets(["146M"]), ("g4",))
    assert limit_of(relaxed, found, base) is None


def test_front_csv(problem: Problem, found: Evaluation) -> None:
    rows = list(csv.DictReader(io.StringIO(front_csv(problem, found))))
    expected = front(found)
    assert len(rows) == len(expected)
    for row, index in zip(rows, expected, strict=True):
        arch = problem.space.parse(row.pop("architecture"))
        assert arch.genes == tuple(found.genes[index])
        assert float(row.pop("score")) == found.score[index]
        assert {name: float(value) for name, value in row.items()} == found.costs.row(int(index))


@pytest.mark.slow
@pytest.mark.parametrize("trials", ["many", "one", "none on the front beaten"])
def test_picture(
    trials: str, problem: Problem, found: Evaluation, base: Baseline, tmp_path: Path
) -> None:
    from matplotlib.image import imread

    some = found
    if trials != "many":
        row = int(front(found)[0])
        some = problem.evaluate(found.genes[row : row + 1])
    chosen = [Winner("winner 1", "best", int(front(some)[0]))]
    rows = result_rows(problem, some, chosen, base if trials != "one" else None)
    path = tmp_path / "front.png"
    path.write_text("old")
    draw_front(path, problem, some, rows, "title")
    image = imread(path)
    assert image.shape[:2] == (676, 1040)
    assert image[..., :3].std() > 0.05  # something is drawn
    assert [p.name for p in path.parent.iterdir()] == ["front.png"]


@pytest.mark.parametrize("name", shipped_tables())
def test_every_shipped_table_states_its_error(name: str) -> None:
    header = load_table(name).header
    error = mean_error(header)
    assert error is not None
    assert 0 < error[0] < 0.1
    assert f"mean error {error[0]:.1%} on " in latency_line(header)


def test_rows_are_run_whole_where_the_table_is_of_this_machine(
    rows: list[ResultRow],
    arm: OpCostModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The engine's seconds land in the rows of their networks; elsewhere rows stay as they are."""
    from search.result import rows as rows_module

    assert with_measurements(rows, arm.header) == rows
    monkeypatch.setattr(rows_module, "is_of_this_machine", lambda header: True)
    got = with_measurements(rows, replace(arm.header, engine="null", engine_version="0"))
    said = capsys.readouterr().err
    assert "the table was measured with null 0 (here " in said
    assert got == [
        replace(row, measured_s=new.measured_s) for row, new in zip(rows, got, strict=True)
    ]
    for row in got:
        expected = RUN_S + sum(block_s(block) for block in row.network.blocks)
        assert row.measured_s == pytest.approx(expected)


def test_a_machine_that_is_slower_than_at_the_build_is_told(
    rows: list[ResultRow],
    arm: OpCostModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from latency.measure.drift import reference_chain
    from search.result import rows as rows_module

    now_s = RUN_S + sum(block_s(block) for block in reference_chain(224, 224))
    monkeypatch.setattr(rows_module, "is_of_this_machine", lambda header: True)
    told = []
    for pace in (1.12, 1.0, 0.9):
        header = replace(arm.header, engine="null", noise={"reference_s": now_s / pace})
        got = with_measurements(rows, header)
        assert [row.pace for row in got] == pytest.approx([pace] * len(rows))
        assert got[0].record(header)["measured_whole_pace"] == pytest.approx(pace)
        print_rows(got, header)
        line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("run whole"))
        told.append(line.partition("; ")[2])
    end = "than when the table was built, by ShuffleNet v2 1.5x in the same rounds"
    assert told == [f"it takes 12% more time now {end}", "", f"it takes 10% less time now {end}"]
