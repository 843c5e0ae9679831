"""Slow-downs, verdicts, and the limits they lead to, on made-up curves."""

from __future__ import annotations

import json
import math
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latency.microbenchmarks.limits import limits_json, load_limits
from latency.microbenchmarks.rule import (
    curve,
    number_at,
    shufflenet_numbers,
    slowdown_at,
    suggest_limits,
)
from latency.microbenchmarks.slowdown import (
    Slowdown,
    guideline_verdict,
    measured_slowdowns,
    of_table,
    paper_slowdowns,
)
from latency.paper_model.cases import make_aligned, make_cases
from space.cost.guidelines import PAPER_LIMITS, Guidelines

CASES = make_cases("arm")


def rows(*values: float, half: float = 0.0, table: int = 1) -> list[Slowdown]:
    return [
        Slowdown(table, f"1:{i + 1}", 1.0 + i, v, v - half * (i > 0), v + half * (i > 0))
        for i, v in enumerate(values)
    ]


def times_of(slow: dict[str, float], noise: float = 0.0, passes: int = 6) -> np.ndarray:
    """Seconds [cases, passes, 5]: a rate of 1e10, rows of Table 1 slower by `slow`."""
    rng = np.random.default_rng(0)
    base = np.array([c.flops / 1e10 * slow.get(c.row, 1.0) for c in CASES])
    by_pass = np.exp(noise * rng.standard_normal((len(CASES), passes, 1)))
    return base[:, None, None] * by_pass * np.ones((1, 1, 5))


@pytest.mark.parametrize(
    ("curve", "allowed", "wanted"),
    [
        (rows(1.0, 1.2, 1.4), 1.1, 1.5),
        (rows(1.0, 1.2, 1.4), 1.2, 2.0),
        (rows(1.0, 1.2, 1.4), 1.0, 1.0),
        (rows(1.0, 1.0, 1.0), 1.1, math.inf),  # never slow
        (rows(1.0, 0.8, 0.9), 1.0, math.inf),  # faster
        (rows(1.0, 0.8, 1.2), 1.0, 2.5),  # faster, then slower: it rises above at 2.5
        (rows(1.0, 1.3, 1.0, 1.3), 1.1, 1 + 1 / 3),  # the first time counts
        (rows(1.0, 1.12, 1.13, half=0.05), 1.1, math.inf),  # slower, but in doubt
        (rows(1.0, 1.12, 1.3, half=0.05), 1.06, 1.5),  # sure at once
        (rows(1.0, 1.12, 1.3, half=0.05), 1.1, 1 + 1 / 1.2),  # sure later: back to the rise
    ],
)
def test_number_at_a_slowdown(curve: list[Slowdown], allowed: float, wanted: float) -> None:
    assert number_at(curve, allowed) == pytest.approx(wanted)


def test_number_at_undoes_slowdown_at() -> None:
    monotone = rows(1.0, 1.05, 1.2, 1.21)
    for number in (1.3, 2.0, 2.5, 3.9):
        assert number_at(monotone, slowdown_at(monotone, number)) == pytest.approx(number)


@pytest.mark.parametrize("columns", ["arm", "gpu"])
def test_the_paper_translates_into_its_own_limits(columns: str) -> None:
    paper = paper_slowdowns(make_cases(columns))
    found, _ = suggest_limits(paper, paper)
    assert astuple(found) == pytest.approx(astuple(PAPER_LIMITS))


def test_a_device_that_never_slows_down_has_no_limits() -> None:
    limits, why = suggest_limits(measured_slowdowns(CASES, times_of({})), paper_slowdowns(CASES))
    assert all(map(math.isinf, astuple(limits)))
    assert why["g1"] == (
        "G1 has no limit: nothing measured here exceeds the paper's 1.09x at 1.05"
    )


def test_no_limit_below_what_shufflenet_v2_needs() -> None:
    device = measured_slowdowns(CASES, times_of({"1:2": 9.0, "1:6": 9.0, "shortcut": 9.0}))
    limits, why = suggest_limits(device, paper_slowdowns(CASES))
    assert limits.g1 == 1.02 and limits.g4 == 0.471
    assert "below what ShuffleNet v2 needs" in why["g1"]


def test_what_shufflenet_v2_needs_is_within_the_papers_limits() -> None:
    assert all(v <= 0 for v in shufflenet_numbers().violations(PAPER_LIMITS).values())
    assert shufflenet_numbers().g3 == 5


def test_aligned_rows_take_the_place_of_the_papers() -> None:
    """What odd widths cost is no slow-down of a guideline."""
    paper = paper_slowdowns(CASES)
    device = measured_slowdowns(CASES, times_of({"1:2": 1.5, "1:6": 1.5, "1:12": 1.5}))
    assert suggest_limits(device, paper)[0].g1 == 1.02
    cases = make_aligned("arm")
    flat = np.array([c.flops / 1e10 for c in cases])[:, None, None] * np.ones((1, 6, 5))
    found, _ = suggest_limits(device, paper, measured_slowdowns(cases, flat))
    assert all(map(math.isinf, astuple(found)))


def test_fragments_count_units() -> None:
    """f fragments are 2 + 3 f convolutions; the slower arrangement counts; rounded down."""
    device = measured_slowdowns(CASES, times_of({"2 in sequence": 1.3, "4 in parallel": 1.5}))
    found = curve(device, 3)
    assert [p.number for p in found] == [5, 8, 14]
    assert [p.value for p in found] == pytest.approx([1.0, 1.3, 1.5])
    assert suggest_limits(device, paper_slowdowns(CASES))[0].g3 == 5
    late = measured_slowdowns(CASES, times_of({"4 in parallel": 1.5}))
    assert suggest_limits(late, paper_slowdowns(CASES))[0].g3 == 8


def test_slowdowns_are_per_flop_and_paired() -> None:
    """A drift that hits a round alike does not show; widths of other FLOPs do not either."""
    drift = np.linspace(1, 3, 30).reshape(1, 6, 5)
    found = measured_slowdowns(CASES, times_of({"1:12": 1.5}) * drift)
    values = {(s.table, s.row): s for s in found}
    assert values[1, "1:12"].value == pytest.approx(1.5)
    assert values[1, "1:12"].low == pytest.approx(1.5)
    assert values[2, "8 groups"].value == pytest.approx(1.0)


def test_noise_widens_the_interval() -> None:
    found = of_table(measured_slowdowns(CASES, times_of({}, noise=0.05)), 1)
    assert found[0].low == found[0].high == 1
    assert all(s.low < s.value < s.high for s in found[1:])
    text = guideline_verdict(found)
    assert "within noise" in text
    half = found[-1].high / found[-1].value - 1
    assert (
        0.01 < half < 0.15
    )  # t of 2.57 times 0.05 sqrt(2 / 18) / ... of three widths, six passes


def test_paper_slowdowns_by_hand() -> None:
    found = of_table(paper_slowdowns(CASES), 1)
    flops = (9 * 108) / (32 * 32)
    wanted = (76.2 / 57.6 * 21.7 / 15.1 * 5.3 / 4.4) ** (1 / 3) / flops
    assert found[-1].value == pytest.approx(wanted)
    assert found[-1].high / found[-1].value - 1 == pytest.approx(
        (sum(0.05 / v for v in (76.2, 57.6, 21.7, 15.1, 5.3, 4.4))) / 3, rel=0.02
    )


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (rows(1, 1.2, 1.41), "G1 holds: 1:3 is 1.41x slower than 1:1 (1.41 to 1.41)"),
        (rows(1, 1.0, 1.01), "G1 holds, barely: 1:3 is 1.01x slower than 1:1 (1.01 to 1.01)"),
        (rows(1, 1.0, 0.8), "G1 does not hold: 1:3 is 1.25x faster than 1:1 (0.80 to 0.80)"),
        (rows(1, 1.0, 1.1, half=0.2), "G1 within noise: 1:3 is 1.10x slower than 1:1 "
         "(0.90 to 1.30)"),
        (rows(1, 0.8, 1.4), "G1 holds: 1:3 is 1.40x slower than 1:1 (1.40 to 1.40), "
         "yet 1:2 is 1.25x faster"),
    ],
)  # fmt: skip
def test_verdicts(found: list[Slowdown], says: str) -> None:
    assert guideline_verdict(found) == says


def test_verdict_names_the_paper_and_the_rows() -> None:
    found = rows(1, 1.2, 1.41, half=0.01)
    assert guideline_verdict(found, rows(1, 1.1, 1.35), "arm").endswith(
        "(1.40 to 1.42; paper arm 1.35x)"
    )
    assert guideline_verdict(found, where=" here").startswith("G1 here holds: ")


def test_limits_round_trip(tmp_path: Path) -> None:
    limits = Guidelines(1.2, math.inf, 8, 0.5)
    path = tmp_path / "guidelines.json"
    path.write_text(json.dumps({"schema": 1, "limits": limits_json(limits)}))
    assert json.loads(path.read_text())["limits"]["g2"] is None
    assert load_limits(path) == load_limits(str(path)) == limits


GOOD = {"g1": 1.05, "g2": 1.05, "g3": 5, "g4": 0.48}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1: not JSON"),
        ("[1]", r"the content must be an object; got \[1\]; .* write one with python -m latency"),
        ('{"schema": 1}', "must be an object with limits"),
        (json.dumps({"limits": GOOD}), "must be an object with schema"),
        (
            json.dumps({"schema": 2, "limits": GOOD}),
            "`schema` must be .* from 1 to 1; got 2",
        ),
        (json.dumps({"schema": 1, "limits": {"g1": 1.1}}), "must be an object with g2, g3, g4"),
        (json.dumps({"schema": 1, "limits": {}}), "must be an object with g1, g2, g3, g4"),
        (json.dumps({"schema": 1, "limits": {**GOOD, "g5": 1}}), "an object of g1, g2, g3, g4"),
        (json.dumps({"schema": 1, "limits": GOOD, "device": 7}), "`device` must be a text; got 7"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "limits.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=says):
        load_limits(path)


@pytest.mark.parametrize("bad", ["1.05", True, -1, 0.5, 10**400, 1e7, [1.0]])
def test_bad_limits(tmp_path: Path, bad: Any) -> None:
    path = tmp_path / "limits.json"
    path.write_text(json.dumps({"schema": 1, "limits": {**GOOD, "g1": bad}}))
    with pytest.raises(
        ValueError, match=r"`limits\.g1` must be a finite number from 1 to .*; null is no"
    ):
        load_limits(path)


def test_nan_is_no_limit(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    path.write_text(json.dumps({"schema": 1, "limits": {**GOOD, "g1": float("nan")}}))
    with pytest.raises(ValueError, match="NaN is no number of JSON"):
        load_limits(path)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.json: cannot be read: No such file"):
        load_limits(tmp_path / "gone.json")
    (tmp_path / "bytes").write_bytes(b'{"schema": "\xff"}')
    with pytest.raises(ValueError, match="byte 12 is not UTF-8"):
        load_limits(tmp_path / "bytes")


def test_loading_limits_needs_neither_onnx_nor_torch(root: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, latency.microbenchmarks.limits; "
        "print({'onnx', 'onnxruntime', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
