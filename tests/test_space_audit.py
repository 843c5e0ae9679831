"""The command `python -m space.audit`: answers, exit statuses and one-line errors."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from space import audit, audit_load, audit_pt2
from space.audit_graph import AuditError, parse_input

ROOT = Path(__file__).resolve().parent.parent

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


def onnx_file(path: Path, shape: list[int | str], inputs: int = 1) -> Path:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [8, 3, 3, 3], [0.0] * 216)
    node = helper.make_node("Conv", ["x0", "w"], ["y"], kernel_shape=[3, 3])
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, shape) for i in range(inputs)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weight],
    )
    onnx.save(helper.make_model(graph), str(path))
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        status = audit.main(list(words))
    except SystemExit as stop:
        status = int(stop.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


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
    assert all(not row["over"] for row in (*found["units"], *found["layers"]))


def test_table_of_a_chain(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "audit_toys:chain", "--input", "64x56x56", "--target", "arm")
    assert status == 0
    assert "346,816,512 FLOPs (multiply-adds), 110,976 parameters" in out
    assert out.count("kept") == 4
    assert "Latency: " in out
    assert "(published: Snapdragon 810" in out


def test_latency_is_the_sum_of_the_table(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from latency.table import load_table
    from space.op import Op

    words = ("audit_toys:chain", "--input", "64x56x56", "--target", "arm", "--format", "json")
    _, out, _ = run(capsys, *words)
    op = Op.parse("conv@56x56 c_in=64 c_out=64 kernel=3 act=relu")
    expected = 3 * load_table("arm").op_s(op)  # type: ignore[union-attr]
    assert json.loads(out)["network"]["latency_s"] == pytest.approx(expected)


def test_unknown_ops_are_listed(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "audit_toys:Spectrum", "--input", "3x32x32", "--target", "arm")
    assert status == 0
    assert "elements of memory access without the unknown ops below" in " ".join(out.split())
    assert "aten.fft_fft.default" in out
    assert "without unknown ops (2)" in out
    _, out, _ = run(capsys, "audit_toys:Spectrum", "--input", "3x32x32", "--format", "json")
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
        (["audit_toys:NothingKnown"], 1, "has no op that is known: aten.fft_fft.default"),
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
    assert err.startswith("space.audit: ")
    assert err.count("\n") == 1
    assert message in err


def test_the_line_that_cannot_be_traced(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = MODULE.splitlines().index("        if x.sum() > 0:") + 1
    _, _, err = run(capsys, "audit_toys:Branching")
    assert f"audit_toys.py:{line} (if x.sum() > 0:)" in err


def test_a_table_of_blocks_prices_no_layers(
    toys: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import latency.table

    load = latency.table.load_table
    monkeypatch.setattr(
        latency.table, "load_table", lambda name: object() if name == "mine" else load(name)
    )
    status, out, err = run(capsys, "audit_toys:net", "--target", "mine")
    assert (status, out) == (1, "")
    assert "target mine is a table of blocks, which cannot price layers" in err
    assert "(arm, gpu)" in err


def test_onnx_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    free = str(onnx_file(tmp_path / "free.onnx", ["n", 3, "h", "w"]))
    status, _, err = run(capsys, free)
    assert status == 2
    assert "has no fixed size (nx3xhxw): give it with --input" in err
    status, out, _ = run(capsys, free, "--input", "3x32x32", "--format", "json")
    assert (status, json.loads(out)["flops"]) == (0, 216 * 30 * 30)
    status, _, err = run(capsys, free, "--input", "1x32x32")
    assert status == 2
    assert "is nx3xhxw; got --input 1x32x32" in err


@pytest.mark.parametrize(
    ("shape", "inputs", "message"),
    [
        ([1, 3, 32], 1, "must be a batch of images"),
        ([1, 3, 8, 8], 2, "must have one input, a batch of images; it has x0, x1"),
        ([1, 4, 8, 8], 1, "takes 3 channels; an input of 4x8x8 gives it 4"),
    ],
)
def test_onnx_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    shape: list[int | str],
    inputs: int,
    message: str,
) -> None:
    status, out, err = run(capsys, str(onnx_file(tmp_path / "m.onnx", shape, inputs)))
    assert (status, out) == (2, "")
    assert message in err


def test_no_onnx(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ValueError, match="is not an ONNX file"):
        audit_load.read(str(path))
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is not an ONNX file: it has no graph"):
        audit_load.read(str(path))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU()).eval()
    path = tmp_path_factory.mktemp("pt2") / "net.pt2"
    torch.export.save(torch.export.export(net, (torch.zeros(1, 3, 32, 32),)), path)
    return path


def test_pt2(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, str(program), "--format", "json")
    assert (status, json.loads(out)["flops"]) == (0, 216 * 30 * 30)
    status, _, err = run(capsys, str(program), "--input", "3x64x64")
    assert status == 2
    assert "was exported for an input of 3x32x32; got --input 3x64x64" in err


def rewritten(program: Path, path: Path, name: str, old: bytes, new: bytes) -> Path:
    """A copy of an archive with one file changed, or added if it is not there."""
    with zipfile.ZipFile(program) as source, zipfile.ZipFile(path, "w") as target:
        names = source.namelist()
        for entry in names:
            text = source.read(entry)
            target.writestr(entry, text.replace(old, new) if entry.endswith(name) else text)
        if not any(entry.endswith(name) for entry in names):
            target.writestr(f"{names[0].partition('/')[0]}/{name}", new)
    return path


def test_pt2_is_never_unpickled(program: Path, tmp_path: Path) -> None:
    """A mark that makes torch unpickle a weight, and a file that it would unpickle."""
    config = "model_weights_config.json"
    old, new = b'"use_pickle": false', b'"use_pickle": true'
    marked = rewritten(program, tmp_path / "marked.pt2", config, old, new)
    with pytest.raises(ValueError, match="holds pickled weights, which are never loaded"):
        audit_pt2.load_program(marked)
    opaque = rewritten(program, tmp_path / "o.pt2", "data/constants/opaque_obj_0", b"", b"cos\n")
    with pytest.raises(ValueError, match="holds more than weights and a graph"):
        audit_pt2.load_program(opaque)
    renamed = rewritten(program, tmp_path / "r.pt2", config, b'"weight_0"', b'"opaque_obj_0"')
    with pytest.raises(ValueError, match="holds pickled weights"):
        audit_pt2.load_program(renamed)


def test_no_pt2(tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    path.write_bytes(b"x")
    with pytest.raises(ValueError, match="is no exported program: not an archive"):
        audit_pt2.load_program(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/serialized_state_dict.pt", b"")
    with pytest.raises(ValueError, match=r"is no exported program of torch\.export\.save"):
        audit_pt2.load_program(path)


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from space.audit_graph import need

    with pytest.raises(AuditError, match="needs the package nosuch_package: install it"):
        need("nosuch_package.part")


def test_parse_input() -> None:
    assert parse_input("3x224x160") == (3, 224, 160)
    for bad in ("3x224", "3x0x3", "axbxc", ""):
        with pytest.raises(ValueError, match="--input must be"):
            parse_input(bad)


def test_help_is_fast() -> None:
    """Within 0.3 s of an empty program; loads nothing slow."""

    def seconds(*words: str) -> float:
        start = time.perf_counter()
        done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, check=True)
        assert b"torch" not in done.stderr
        return time.perf_counter() - start

    bare = min(seconds("-c", "pass") for _ in range(3))
    assert min(seconds("-m", "space.audit", "--help") for _ in range(3)) - bare < 0.3
