from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import search.experiments.reproduction as reproduction
from latency.table.op_model import OpCostModel
from search.experiments.reproduction import BUDGETS, PaperAxisResult, full_space, paper_axis
from search.optimizer import SAMPLERS
from search.reproduce import main
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.zoo.families import SHUFFLENET_V2, shufflenet_v2

# Table 5 of the paper, typed from it.
TABLE_5 = {
    "41M": (48, 96, 192),
    "146M": (116, 232, 464),
    "299M": (176, 352, 704),
    "591M": (244, 488, 976),
}
HEADS = {"41M": 1024, "146M": 1024, "299M": 1024, "591M": 2048}


def _found(
    table: OpCostModel, budget: str, seeds: int, sampler: str = "prescreened"
) -> PaperAxisResult:
    return paper_axis(table, budget, TABLE_5[budget], HEADS[budget], seeds, sampler)


@pytest.mark.parametrize("budget", TABLE_5)
def test_one_seed_recovers(budget: str, arm: OpCostModel) -> None:
    assert _found(arm, budget, 1) == PaperAxisResult(budget, 1, 1, TABLE_5[budget])


def test_the_expected_widths_are_the_papers() -> None:
    assert tuple(TABLE_5) == BUDGETS
    expected = list(zip(TABLE_5.values(), HEADS.values(), strict=True))
    assert list(SHUFFLENET_V2.values()) == expected


def test_it_can_fail(arm: OpCostModel) -> None:
    """Against other widths nothing is recovered: the search does not read the expected ones."""
    found = paper_axis(arm, "146M", (112, 224, 448), 1024, 2, "prescreened")
    assert found == PaperAxisResult("146M", 2, 0, TABLE_5["146M"])


def test_another_budget_is_not_recovered(arm: OpCostModel) -> None:
    """A smaller budget ends at a narrower network: 112 is the widest of 4k under 137M."""
    found = paper_axis(arm, "137M", TABLE_5["146M"], 1024, 1, "prescreened")
    assert (found.recovered, found.widths) == (0, (112, 224, 448))


@pytest.mark.slow
def test_ten_of_ten_seeds_at_four_budgets(arm: OpCostModel) -> None:
    for budget in BUDGETS:
        assert _found(arm, budget, 10) == PaperAxisResult(budget, 10, 10, TABLE_5[budget])


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_reports(sampler: str, arm: OpCostModel) -> None:
    found = _found(arm, "146M", 2, sampler)
    assert 0 <= found.recovered <= 2
    assert [w / found.widths[0] for w in found.widths] == [1, 2, 4]


@pytest.mark.slow
def test_full_space_compares_with_the_baseline(arm: OpCostModel) -> None:
    found = full_space(arm, "146M", seeds=2, trials=30, sampler="prescreened")
    assert found.baseline == "ShuffleNet v2 1x"
    assert found.baseline_latency_s == pytest.approx(arm.network_s(shufflenet_v2("1.0").blocks))
    assert [run.seed for run in found.runs] == [0, 1]
    for run in found.runs:
        if run.architecture is None:
            assert run.speed_up_at_score is None
            continue
        space = ShuffleNetV2Space()
        network = space.lower(space.parse(run.architecture))
        assert network.flops <= 146e6
        ratio = found.baseline_latency_s / arm.network_s(network.blocks)
        assert run.speed_up_at_score == pytest.approx(ratio)


@pytest.mark.slow
def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--seeds", "2", "--full-seeds", "1", "--trials", "30"]
    assert main([*words, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["budget"] for row in found["paper_axes"]] == list(TABLE_5)
    for row in found["paper_axes"]:
        assert (row["seeds"], row["recovered"]) == (2, 2)
        assert tuple(row["widths"]) == TABLE_5[row["budget"]]
    assert [row["budget"] for row in found["full_space"]] == list(TABLE_5)
    assert found["latency"] == {"target": "arm", "source": "published"}
    assert main(["--seeds", "1", "--full-seeds", "0"]) == 0
    assert capsys.readouterr().out.count("1 of 1 seeds") == 4


@pytest.mark.slow
def test_command_fails_if_not_recovered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {size: ((24, 48, 96), head) for size, (_, head) in SHUFFLENET_V2.items()}
    monkeypatch.setattr(reproduction, "SHUFFLENET_V2", wrong)
    assert main(["--seeds", "1", "--full-seeds", "0", "--format", "json"]) == 1
    rows = json.loads(capsys.readouterr().out)["paper_axes"]
    assert [row["recovered"] for row in rows] == [0] * 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "0"], "--seeds must be from 1 to 1000; got 0"),
        (["--trials", "0"], "--trials must be from 1 to 10000000; got 0"),
        (["--full-seeds", "-1"], "--full-seeds must be from 0 to 1000; got -1"),
        (["--target", "x"], "unknown target 'x'"),
    ],
)
def test_wrong_usage(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"search.reproduce: {message}")
    assert err.count("\n") == 1


def test_a_table_of_other_networks_is_refused(
    arm: OpCostModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The paper's budgets are of its own networks."""
    OpCostModel(replace(arm.header, input="448x448"), arm.coefficients).save(tmp_path / "a.json")
    assert main(["--target", str(tmp_path / "a.json")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("search.reproduce: --target must be a table of the paper's networks")
    assert line.endswith("is of 448x448, 3 channels, 1000 classes")
