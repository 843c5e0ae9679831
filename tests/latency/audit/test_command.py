"""The command `python -m latency.audit`: answers, exit statuses and one-line errors."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from latency.audit import price
from latency.audit.graph import parse_input
from tests.helpers.audit_cli import run

MODULE = """
import torch
from torch import nn

def chain():
    layers = []
    for _ in range(3):
        layers += [nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    return nn.Sequential(*layers)

class WithWidth(nn.Module):
    def __init__(self, width):
        super().__init__()

class Branching(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return x * 2

class Spectrum(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return torch.fft.fft(self.conv(x)).real

class TwoImages(nn.Module):
    def forward(self, x, y):
        return x + y

class NothingKnown(nn.Module):
    def forward(self, x):
        return torch.fft.fft(x).real

def broken():
    raise RuntimeError("no weights here")

def number():
    return 3

constant = 3
net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
"""


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "audit_toys.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "audit_toys", raising=False)
    return tmp_path


def test_json_of_a_chain(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three equal convolutions on 56x56: by hand; nothing is broken."""
    words = ("audit_toys:chain", "--input", "64x56x56", "--format", "json")
    status, out, err = run(capsys, *words)
    found = json.loads(out)
    assert (status, err) == (0, "")
    assert found["flops"] == 3 * 64 * 64 * 9 * 56 * 56
    assert found["params"] == found["held_params"] == 3 * (64 * 64 * 9 + 128)
    network = found["network"]
    assert (network["g1"], network["g2"], network["g3"], network["over"]) == (1.0, 1.0, 1, {})
    one = 64 * 56 * 56
    assert network["g4"] == pytest.approx(2 * one / (4 * one + 64 * 64 * 9))
    assert [layer["op"] for layer in found["layers"]] == [
        "conv@56x56 c_in=64 c_out=64 kernel=3 act=relu"
    ] * 3
    assert [layer["inputs"] for layer in found["layers"]] == [[-1], [0], [1]]
    assert found["unknown"] == []
    assert (found["complete"], found["unknown_ops"]) == (True, 0)
    assert found["verdicts"] == dict.fromkeys(("g1", "g2", "g3", "g4"), "kept")
    assert all(not row["over"] for row in (*found["units"], *found["layers"]))


def test_table_of_a_chain(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "audit_toys:chain", "--input", "64x56x56", "--target", "arm")
    assert status == 0
    assert "346,816,512 FLOPs (multiply-adds), 110,976 parameters" in out
    assert out.count("kept") == 4
    assert "Latency: " in out
    assert "(published: Snapdragon 810" in out


def test_latency_is_the_sum_of_the_table(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from latency.table.load import load_table
    from space.graph.op import Op

    words = ("audit_toys:chain", "--input", "64x56x56", "--target", "arm", "--format", "json")
    _, out, _ = run(capsys, *words)
    op = Op.parse("conv@56x56 c_in=64 c_out=64 kernel=3 act=relu")
    expected = 3 * load_table("arm").op_s(op)  # type: ignore[union-attr]
    assert json.loads(out)["network"]["latency_s"] == pytest.approx(expected)


def test_unknown_ops_are_listed(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("audit_toys:Spectrum", "--input", "3x32x32", "--target", "arm")
    status, out, err = run(capsys, *words)
    lines = " ".join(out.split())
    assert (status, err.count("\n")) == (1, 1)
    assert "latency.audit: 2 unknown ops (aten.fft_fft.default, aten.real.default): " in err
    assert "elements of memory access without the unknown ops below (2)" in lines
    assert lines.count(", without 2 unknown ops") >= 4
    assert "aten.fft_fft.default" in out
    assert "without unknown ops (2)" in out
    status, out, _ = run(capsys, *words[:3], "--format", "json")
    found = json.loads(out)
    assert (status, found["complete"], found["unknown_ops"]) == (1, False, 2)
    assert found["network"]["unknown_ops"] == 2
    assert all(text.endswith(", without 2 unknown ops") for text in found["verdicts"].values())
    unknown = json.loads(out)["unknown"]
    assert [(u["op"], u["count"]) for u in unknown] == [
        ("aten.fft_fft.default", 1),
        ("aten.real.default", 1),
    ]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["nosuch_package:net"], 2, "nosuch_package:net: no module named 'nosuch_package'"),
        (["audit_toys.deep:net"], 2, "no module named 'audit_toys.deep'"),
        (["audit_toys:chian"], 2, "audit_toys has no 'chian'; near: chain"),
        (["audit_toys:WithWidth"], 2, "needs arguments (width): write a function"),
        (["audit_toys:number"], 2, "must give a torch.nn.Module; it gives int"),
        (["audit_toys:constant"], 2, "must be a class or function; it is int"),
        (["audit_toys:broken"], 1, "cannot be called: RuntimeError: no weights here"),
        (["audit_toys:Branching"], 1, "torch.export cannot trace the model: GuardOnDataDependent"),
        (["audit_toys:TwoImages"], 2, "missing 1 required positional argument: 'y'"),
        (["audit_toys:NothingKnown"], 1, "has no known op: aten.fft_fft.default"),
        (["audit_toys:net", "--input", "1x28x28"], 2, "refuses an input of 1x28x28"),
        (["audit_toys:net", "--input", "3x2x2"], 2, "refuses an input of 3x2x2"),
        (["audit_toys:net", "--input", "224"], 2, "--input must be CHANNELSxHEIGHTxWIDTH"),
        (["audit_toys:net", "--top", "0"], 2, "--top must be at least 1; got 0"),
        (["audit_toys:net", "--target", "nosuch"], 2, "unknown target 'nosuch'"),
        (["weights.pt"], 2, "a pickle runs code when it is loaded"),
        (["weights.pth"], 2, "a pickle runs code when it is loaded"),
        (["absent.onnx"], 2, "absent.onnx: no such file"),
        (["absent.pt2"], 2, "absent.pt2: no such file"),
        (["absent"], 2, "MODEL must be package.module:factory"),
        (["a b:c"], 2, "MODEL must be package.module:factory"),
        ([], 2, "the following arguments are required: MODEL"),
    ],
)
def test_errors_are_one_line(
    toys: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    status: int,
    message: str,
) -> None:
    found, out, err = run(capsys, *words)
    assert (found, out) == (status, "")
    assert err.startswith("latency.audit: ")
    assert err.count("\n") == 1
    assert message in err


def test_the_line_that_cannot_be_traced(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = MODULE.splitlines().index("        if x.sum() > 0:") + 1
    _, _, err = run(capsys, "audit_toys:Branching")
    assert f"audit_toys.py:{line} (if x.sum() > 0:)" in err


def test_a_table_of_blocks_prices_no_layers(
    toys: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = price.load_table
    monkeypatch.setattr(
        price, "load_table", lambda name: object() if name == "blocks" else load(name)
    )
    status, out, err = run(capsys, "audit_toys:net", "--target", "blocks")
    assert (status, out) == (1, "")
    assert "target blocks is a table of blocks, which cannot price layers" in err
    assert "(arm, gpu)" in err


def test_a_model_whose_package_is_missing(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (toys / "audit_needs.py").write_text("import nosuch_package", encoding="utf-8")
    status, out, err = run(capsys, "audit_needs:net")
    assert (status, out) == (2, "")
    assert "audit_needs:net: audit_needs needs 'nosuch_package': install it" in err


def test_parse_input() -> None:
    assert parse_input("3x224x160") == (3, 224, 160)
    for bad in ("3x224", "3x0x3", "axbxc", ""):
        with pytest.raises(ValueError, match="--input must be"):
            parse_input(bad)
