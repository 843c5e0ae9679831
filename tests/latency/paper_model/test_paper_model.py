"""The published tables: typed numbers against the paper's, refits, headers, the command."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from latency.paper_model import build
from latency.paper_model import paper_speeds as data
from latency.paper_model.build import fit_paper_model, network_error, write_model
from latency.paper_model.fit import design_matrix, deviations, left_out_errors, row_errors, solve
from latency.paper_model.rows import FitRow, fit_rows, held_out
from latency.published import main
from latency.table.load import SHIPPED, load_table
from latency.table.op_model import OpCostModel
from latency.table.op_terms import TERMS

TARGETS = ("arm", "gpu")
Rows = Callable[[str], list[dict[str, str]]]


@pytest.fixture(params=TARGETS, scope="module")
def target(request: pytest.FixtureRequest) -> str:
    """Each shipped target."""
    return str(request.param)


@pytest.fixture(scope="module")
def built() -> dict[str, OpCostModel]:
    """Both models, refitted once."""
    return {target: fit_paper_model(target) for target in TARGETS}


# Numbers typed from the paper, against the transcription kept beside the project


@pytest.mark.parametrize(
    ("file", "table", "key"),
    [
        ("table1.csv", data.TABLE_1, ("c1_x1", "c2_x1")),
        ("table2.csv", data.TABLE_2, ("groups", "c_x1")),
    ],
)
def test_tables_1_and_2_are_the_papers(
    paper: Rows, file: str, table: dict[str, Any], key: tuple[str, str]
) -> None:
    found: dict[str, Any] = {"arm": {}, "gpu": {}}
    for row in paper(file):
        speeds = found[row["platform"].lower()].setdefault(tuple(int(row[k]) for k in key), {})
        speeds[row["scale"]] = row["speed"]
    assert {t: {k: tuple(v.values()) for k, v in r.items()} for t, r in found.items()} == table


def test_table_3_is_the_papers(paper: Rows) -> None:
    found: dict[str, Any] = {"arm": {}, "gpu": {}}
    for row in paper("table3.csv"):
        key = int(row["fragments"]), int(row["arrangement"] == "series")
        found[row["platform"].lower()].setdefault(key, []).append(row["speed"])
    assert {t: {k: tuple(v) for k, v in r.items()} for t, r in found.items()} == data.TABLE_3


def test_appendix_1_is_the_papers(paper: Rows) -> None:
    networks: dict[tuple[str, int, int], list[tuple[str, str]]] = {}
    for row in paper("appendix_table1a.csv"):
        width, height = (int(n) for n in row["input"].split("x"))
        speeds = networks.setdefault((row["model"], height, width), [])
        level = int(row["mflops_level_at_224"])
        assert level == (40, 140, 300, 500)[len(speeds)]
        speeds.append((row["gpu_batches_per_s"], row["arm_images_per_s"]))
        if row["model"] != "Xception":
            assert int(row["gpu_batch"]) == (8 if (level, height) == (40, 320) else 1)
    typed = {k: tuple(map(" ".join, zip(*v, strict=True))) for k, v in networks.items()}
    assert {k: v for k, v in typed.items() if k[0] != "Xception"} == data.APPENDIX_1A
    units: dict[tuple[str, int], list[str]] = {}
    for row in paper("appendix_table1b_units.csv"):
        key = row["unit"], int(row["feature_map"].split("x")[0])
        units.setdefault(key, []).append(row["arm_images_per_s"])
    kept = {k: tuple(v) for k, v in units.items() if k[0] != "Xception"}
    assert kept == data.APPENDIX_1B


def test_table_8_is_the_papers(paper: Rows) -> None:
    found = {
        (int(row["mflops"]), row["gpu_batches_per_s"], row["arm_images_per_s"])
        for row in paper("table8.csv")
        if row["mflops"].isdigit()
    }
    assert len(data.PAPER_SPEEDS) == 18
    assert set(data.PAPER_SPEEDS.values()) <= found


# What is fitted


def flops_of(row: FitRow) -> int:
    return row.repeats * sum(int(op.flops) for block in row.blocks for op in block.ops)


def test_rows_of_the_fit(target: str) -> None:
    rows = fit_rows(target)
    assert len(rows) == {"arm": 93, "gpu": 75}[target]
    assert {row.batch for row in rows} == {"arm": {1}, "gpu": {1, 8}}[target]
    assert ("1b" in {row.table for row in rows}) == (target == "arm")


def test_table_1_rows_have_equal_flops_and_the_papers_speed() -> None:
    rows = [row for row in fit_rows("arm") if row.table == "1"]
    flops = [flops_of(row) for row in rows]
    # 10 blocks of 32 -> 32 and 32 -> 32 at 56x56, then the other ratios within 6 %.
    assert flops[0] == 10 * 2 * 32 * 32 * 3136
    assert all(abs(f / flops[0] - 1) < 0.06 for f in flops[::3])
    assert rows[0].measured_s == pytest.approx(1 / 76.2)
    # 76.2 stands for 76.15 to 76.25.
    assert rows[0].precision == pytest.approx(0.1 / math.sqrt(12) / 76.2)


def test_widths_that_groups_do_not_divide_keep_their_flops() -> None:
    (row,) = (row for row in fit_rows("arm") if [b.c_in for b in row.blocks] == [176, 184])
    assert flops_of(row) == pytest.approx(10 * 180 * 180 / 8 * 3136, rel=1e-3)


def test_units_of_appendix_1b_have_about_equal_flops() -> None:
    rows = [row for row in fit_rows("arm") if row.table == "1b"]
    for size in (56, 28):
        at_size = [row for row in rows if row.blocks[0].height == size]
        for width in range(3):
            same = at_size[width::3]
            flops = [flops_of(row) for row in same]
            assert len(flops) == 3
            assert max(flops) / min(flops) < 1.1


def test_no_row_of_the_fit_is_a_held_out_measurement(target: str) -> None:
    names = {name for _, name, _ in held_out(target)}
    assert len(names) == 18
    sizes = {
        (network.blocks[0].height, network.blocks[0].width) for network, *_ in held_out(target)
    }
    whole = [row for row in fit_rows(target) if row.is_network]
    assert {row.table for row in whole} == {"1a"}
    assert not sizes & {(row.blocks[0].height, row.blocks[0].width) for row in whole}


def test_solve_recovers_coefficients_despite_outliers(target: str) -> None:
    rows = fit_rows(target)
    matrix, terms = design_matrix(target, rows), TERMS[target].values()
    upper = [min(term.upper, 3 * term.lower or 1e-10) for term in terms]
    truth = np.array([(term.lower + up) / 2 for term, up in zip(terms, upper, strict=True)])
    measured = matrix @ truth
    assert solve(target, matrix, measured, deviations(target, rows)) == pytest.approx(truth)
    measured[5] *= 3  # one wild row moves a least-squares fit, hardly this one
    found = matrix @ solve(target, matrix, measured, deviations(target, rows))
    assert np.delete(found / measured, 5) == pytest.approx(1.0, abs=0.05)


def test_left_out_errors_do_not_see_the_family() -> None:
    rows = fit_rows("gpu")
    before = left_out_errors("gpu", rows)
    family = rows[-1].family
    faster = [replace(r, measured_s=r.measured_s / 2) if r.family == family else r for r in rows]
    after = left_out_errors("gpu", faster)
    same = np.array([row.family == family for row in rows])
    # Rows of the family are predicted from the others alone: the same time, over half as much.
    assert (1 + after[same]) / (1 + before[same]) == pytest.approx(2.0)
    assert np.abs(after[~same] - before[~same]).max() > 1e-3


# What is shipped


def test_the_shipped_table_is_what_the_command_fits(
    target: str, built: dict[str, OpCostModel]
) -> None:
    shipped = load_table(target)
    assert isinstance(shipped, OpCostModel)
    assert dict(shipped.coefficients) == pytest.approx(dict(built[target].coefficients), rel=1e-4)
    assert list(shipped.coefficients) == list(TERMS[target])


def test_the_header_states_the_error_of_its_own_csv(target: str) -> None:
    header = json.loads((SHIPPED / f"{target}.json").read_text())
    model = load_table(SHIPPED / f"{target}.json")
    assert isinstance(model, OpCostModel)
    stated = header["network_error"]
    rows = stated["rows"]
    assert (stated["networks"], stated["held_out"], len(rows)) == (18, "Table 8", 18)
    measured = np.array([row["measured_s"] for row in rows])
    predicted = np.array([row["predicted_s"] for row in rows])
    for (network, name, seconds), row in zip(held_out(target), rows, strict=True):
        ops = [op for block in network.blocks for op in block.ops]
        assert row["network"] == name
        assert row["measured_s"] == pytest.approx(seconds)
        assert row["predicted_s"] == pytest.approx(sum(float(model.op_s(op)) for op in ops))
    error = abs(predicted / measured - 1)
    assert stated["mean_abs_error"] == pytest.approx(error.mean())
    assert stated["max_abs_error"] == pytest.approx(error.max())
    assert stated["within_5pct"] == pytest.approx((error <= 0.05).mean())
    assert stated["within_10pct"] == pytest.approx((error <= 0.1).mean())
    assert stated["spearman"] == pytest.approx(spearmanr(measured, predicted)[0])
    again = network_error(model)
    assert {k: v for k, v in again.items() if k != "rows"} == pytest.approx(
        {k: v for k, v in stated.items() if k != "rows"}
    )


def test_the_fit_error_in_the_header(target: str, built: dict[str, OpCostModel]) -> None:
    model = built[target]
    rows = [row for row in fit_rows(target) if row.table == "1"]
    slow = [row.repeats * model.network_s(row.blocks) / row.measured_s - 1 for row in rows]
    if target == "arm":  # the gpu header is for batch 8, Table 1 is batch 1
        assert row_errors(target, rows, dict(model.coefficients)) == pytest.approx(slow)
        stated = model.header.extra["model"]["fit_error"]["1"]
        assert stated["rows"] == 12
        assert stated["fitted"] == pytest.approx(np.abs(slow).mean(), abs=5e-5)


def test_arm_meets_its_aim(built: dict[str, OpCostModel]) -> None:
    error = network_error(built["arm"])
    assert error["mean_abs_error"] <= 0.08
    assert error["spearman"] >= 0.99


# The command


def test_writing_replaces_whole_files(tmp_path: Path, built: dict[str, OpCostModel]) -> None:
    for _ in range(2):
        path = write_model(built["arm"], tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["arm.csv", "arm.json"]
    rows = csv.DictReader(path.with_suffix(".csv").read_text().splitlines())
    assert list(rows) == built["arm"].to_rows()
    found = load_table(path)
    assert isinstance(found, OpCostModel)
    assert found.coefficients == built["arm"].coefficients


def test_json_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["target"] for each in found] == ["arm", "gpu"]
    for each in found:
        assert list(each) == ["target", "rows", "mean_abs_error", "spearman"]
        assert list(each["rows"][0]) == ["network", "measured_s", "predicted_s"]
        ratio = [row["predicted_s"] / row["measured_s"] - 1 for row in each["rows"]]
        assert each["mean_abs_error"] == pytest.approx(np.abs(ratio).mean())
    assert main(["--format", "json", "--target", "gpu"]) == 0
    assert json.loads(capsys.readouterr().out) == found[1:]


def test_table_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", "arm"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("arm  (published: Snapdragon 810")
    assert "gpu" not in out
    assert all(name in out for name in data.PAPER_SPEEDS)
    assert "30.6 / 39" in out  # MobileNet v2 0.15: counted and printed MFLOPs


def test_the_date_is_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "today_utc", lambda: "2031-01-01")
    assert build.fit_paper_model("gpu").header.date == "2031-01-01"


def test_files_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "tables"
    write = build.write_model
    monkeypatch.setattr(build, "write_model", lambda model: write(model, folder))
    assert main(["--target", "gpu", "--write"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"latency.published: {tmp_path / 'file'}") and err.count("\n") == 1


def test_an_unknown_target_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--target", "tpu"])
    err = capsys.readouterr().err
    assert "invalid choice: 'tpu'" in err and err.count("\n") == 1


def test_help_loads_no_numerics(root: Path) -> None:
    code = (
        "import sys, runpy\n"
        "sys.argv = ['latency.published', '--help']\n"
        "try: runpy.run_module('latency.published', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'scipy', 'torch'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# The documentation


def test_the_docs_state_the_shipped_errors(root: Path) -> None:
    text = (root / "docs" / "reference" / "published-tables.md").read_text()
    headers = [json.loads((SHIPPED / f"{target}.json").read_text()) for target in TARGETS]
    for header in headers:
        error = header["network_error"]
        shares = f"{error['within_5pct']:.0%} | {error['within_10pct']:.0%}"
        line = f"{error['mean_abs_error']:.1%} | {error['max_abs_error']:.1%} | {shares}"
        assert f"| {header['target']} | {line} | {error['spearman']:.3f} |" in text
    flops = {name: network.flops for network, name, _ in held_out("arm")}
    for pair in zip(*(header["network_error"]["rows"] for header in headers), strict=True):
        name = pair[0]["network"]
        cells = [f"{flops[name] / 1e6:.1f} / {data.PAPER_SPEEDS[name][0]}"]
        for row in pair:
            measured, predicted = row["measured_s"], row["predicted_s"]
            cells += [f"{measured * 1e3:.2f} ms", f"{predicted * 1e3:.2f} ms"]
            cells.append(f"{predicted / measured - 1:+.1%}")
        assert f"| {name} | {' | '.join(cells)} |" in text
    for table, found in headers[0]["model"]["fit_error"].items():
        line = f"{found['rows']} | {found['fitted']:.1%} | {found['family_left_out']:.1%}"
        assert f"| {table} | {line} |" in text
