"""What the rows of the measured benchmark tell: found again where it was put in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluator import measured_report
from evaluator.measured_benchmark import analysis
from evaluator.measured_benchmark import scores as measured_scores
from evaluator.measured_benchmark.plan import BenchmarkConfig, PlannedNetwork
from evaluator.measured_benchmark.report import format_verdict
from evaluator.measured_benchmark.rows import (
    SHIPPED,
    TrainingRow,
    read_header,
    read_rows,
    write_header,
    write_rows,
)
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.resize import on_input
from tests.helpers.measured_rows import ROW

RECIPES = BenchmarkConfig(data="", out=Path("m.csv")).recipes()


def made(seed: int = 0, noise: float = 0.0) -> list[TrainingRow]:
    """Rows whose accuracy grows as the log of the parameters, plus noise: what tells is known."""
    space, rng = ShuffleNetV2Space(), np.random.default_rng(seed)
    rows = []
    for band in range(3):
        for index, genes in enumerate(space.sample(12, rng)):
            network = space.lower(space.architecture(genes))
            for s in range(2):
                accuracy = 5 * np.log(network.params) + noise * rng.standard_normal()
                rows.append(
                    replace(
                        ROW,
                        name=f"band {band + 1} no. {index}",
                        group=f"band {band + 1}",
                        architecture=network.name,
                        seed=s,
                        accuracy=float(accuracy),
                        params=network.params,
                        flops=network.flops,
                        flops_224=network.flops,
                    )
                )
    return rows


@pytest.mark.slow
def test_scores_find_what_was_put_in() -> None:
    found = analysis.by_network(made())
    scores = {row["score"]: row for row in measured_scores.score_correlations(found)}
    assert scores["params"]["equal_flops"] == pytest.approx(1)
    assert scores["params"]["overall"] == pytest.approx(1)
    assert scores["closed form"]["equal_flops"] < 1
    assert next(iter(scores)) == "params"


@pytest.mark.slow
def test_scores_and_axes_are_told_after_long_trainings_too() -> None:
    """Networks of band 1 whose long accuracies run against their FLOPs and along their stem."""
    rows, space = made(), ShuffleNetV2Space()
    short = [r for r in rows if r.group == "band 1" and r.seed == 0]
    stems = {r.name: float(space.value(space.parse(r.architecture), "stem")) for r in short}
    found = analysis.by_network(rows)
    for value, score in ((lambda r: -r.flops, -1.0), (lambda r: r.flops, 1.0)):
        long = [replace(r, recipe="long", accuracy=float(value(r))) for r in short]
        told = measured_scores.score_correlations(found, long=analysis.by_network(long, "long"))
        assert next(r for r in told if r["score"] == "FLOPs")["long"] == pytest.approx(score)
    long = [replace(r, recipe="long", accuracy=stems[r.name]) for r in short]
    axes = analysis.axis_correlations(found, analysis.by_network(long, "long"))
    assert next(r for r in axes if r["axis"] == "stem")["long"] == pytest.approx(1)
    assert all(r["long"] is None for r in analysis.axis_correlations(found))


@pytest.mark.slow
def test_the_predictor_is_judged_on_what_it_has_not_seen() -> None:
    """Validation accuracies it can learn from say how test accuracies go; noise does not."""
    rng = np.random.default_rng(0)
    known = [replace(r, accuracy=10 + 5 * np.log(r.params / 1e4)) for r in made()]
    for values, least in (
        ([r.accuracy for r in known], 0.8),
        (rng.uniform(20, 60, len(known)).tolist(), None),
    ):
        rows = [replace(r, validation=v) for r, v in zip(known, values, strict=True)]
        told = measured_scores.score_correlations(analysis.by_network(rows))
        found = next(r for r in told if r["score"] == measured_scores.PREDICTOR)
        assert found["overall"] > least if least else abs(found["overall"]) < 0.6
    blind = [replace(r, validation=float("nan")) for r in known]
    told = measured_scores.score_correlations(analysis.by_network(blind))
    assert measured_scores.PREDICTOR not in {row["score"] for row in told}


def test_scores_of_layers_by_hand() -> None:
    """Sums of logs over the convolutions of one network, block by block."""
    text = (
        "shufflenet_v2 stem=24 width=48,96,192 depth=2,2,2 split=1/2,1/4,1/2 "
        "kernel=3,5,3 head=1024"
    )
    rows = [replace(ROW, architecture=text)]
    table = measured_scores.measured_table(
        ShuffleNetV2Space(), list(analysis.by_network(rows).values())
    )
    widths, fan_in, c_in = 0.0, [], 24
    for c_out, branch, k in ((48, 24, 3), (96, 24, 5), (192, 96, 3)):
        half = c_out // 2
        # stride 2: projection (depthwise, 1x1), branch (1x1, depthwise, 1x1); then a branch alone
        outs = [c_in, half, half, half, half, branch, branch, branch]
        ins = [k * k, c_in, c_in, k * k, half, branch, k * k, branch]
        widths += float(np.log(outs).sum())
        fan_in.append(float(np.log(ins).sum()))
        c_in = c_out
    assert table.log_width_layers.tolist() == pytest.approx([widths])
    assert table.fan_in_layers[0].tolist() == pytest.approx(fan_in)
    assert table.splits[0].tolist() == [0.5, 0.25, 0.5]


def test_noise() -> None:
    quiet = analysis.noise(analysis.by_network(made()))
    assert (quiet["pairs"], quiet["deviation"]) == (36, 0)
    assert quiet["spearman_equal_flops"] == pytest.approx(1)
    loud = analysis.noise(analysis.by_network(made(noise=3.0)))
    assert loud["deviation"] == pytest.approx(3.0, rel=0.35)
    assert loud["spearman_equal_flops"] < 0.99


def test_short_against_long() -> None:
    rows = [replace(ROW, name=str(i), accuracy=float(i)) for i in range(6)]
    rows += [replace(ROW, name=str(i), accuracy=20.0 - i, recipe="long") for i in range(5)]
    told = analysis.short_and_long(rows)
    assert told["networks"] == 5
    assert told["spearman"] == pytest.approx(-1)
    assert told["gain"] == pytest.approx(np.mean([20.0 - 2 * i for i in range(5)]))


def _patterns(accuracies: dict[str, float], own: float) -> list[TrainingRow]:
    base = [
        replace(ROW, name=analysis.BASELINE, group="paper", seed=s, accuracy=own + s)
        for s in range(2)
    ]
    return base + [
        replace(ROW, name=name, group="pattern", accuracy=a) for name, a in accuracies.items()
    ]


def test_patterns_are_ranked() -> None:
    rows = _patterns({"split 1/4": 48.0, "split 3/4": 56.0, "growth 1.5": 40.0}, own=50.0)
    told = analysis.pattern_results(analysis.by_network(rows))
    assert [row["split"] for row in told["split"]] == ["3/4", "1/2", "1/4"]
    assert [row["difference"] for row in told["split"]] == [5.5, 0.0, -2.5]
    assert [row["growth"] for row in told["growth"]] == ["2.0", "1.5"]
    split, growth, depths = (told[axis] for axis in ("split", "growth", "depths"))
    assert "number 2 of 3, 3/4 is the best, beyond two" in format_verdict("split", split, 0.5)
    assert "within two standard errors (12.25 points)" in format_verdict("split", split, 5.0)
    assert format_verdict("growth", growth, 1.0) == "growth: the paper's is the best of 2"
    assert format_verdict("depths", depths, 1.0) == "depths: nothing to compare yet"


def test_report_of_few_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sections without enough rows say so; the whole is printed."""
    path = tmp_path / "m.csv"
    recipes = {name: recipe.record() for name, recipe in RECIPES.items()}
    for rows in (made()[:1], made() + _patterns({"split 1/4": 48.0}, own=50.0)):
        write_rows(path, rows)
        write_header(path, {"planned": 200, "recipes": recipes, "images": [50000, 10000]})
        assert measured_report.main([str(path)]) == 0
        text = capsys.readouterr().out
        assert f"{len(rows)} of 200 trainings" in text
        assert "params" in text
        assert measured_report.main([str(path), "--format", "json"]) == 0
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert told["rows"] == len(rows)


@pytest.mark.skipif(not SHIPPED.exists(), reason="no measured benchmark ships yet")
def test_shipped_rows_are_of_the_plan() -> None:
    """FLOPs and parameters recomputed from the architectures; the header counts the rows."""
    rows, header = read_rows(SHIPPED), read_header(SHIPPED)
    assert header["rows"] == len(rows)
    recipe = header["recipes"]["short"]
    assert header["recipes"] == {n: r.record() for n, r in RECIPES.items()}
    for row in rows:
        whole = PlannedNetwork(row.name, row.group, row.architecture).network()
        network = on_input(whole, recipe["input"], recipe["input"], classes=10, drop=1)
        assert (row.flops, row.params, row.flops_224) == (
            network.flops,
            network.params,
            whole.flops,
        )
        assert 5 < row.accuracy < 100
