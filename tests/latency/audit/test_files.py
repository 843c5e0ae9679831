"""The command `python -m latency.audit` on ONNX files and exported programs."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from latency.audit import load as audit_load
from latency.audit import pt2 as audit_pt2
from tests.helpers.audit_cli import run


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
        audit_load.read_model(str(path))
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is not an ONNX file: it has no graph"):
        audit_load.read_model(str(path))


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


@pytest.mark.parametrize("suffix", ["onnx", "pt2"])
def test_what_is_no_model_file(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe is not waited for, a folder is not opened."""
    pipe, folder = tmp_path / f"pipe.{suffix}", tmp_path / f"folder.{suffix}"
    os.mkfifo(pipe)
    folder.mkdir()
    for path, kind in ((pipe, "a pipe"), (folder, "a folder")):
        status, out, err = run(capsys, str(path))
        assert (status, out) == (2, "")
        assert f"{path}: must be a file; it is {kind}" in err


def test_damaged_lists_of_weights(program: Path, tmp_path: Path) -> None:
    config = "model_weights_config.json"
    lacking = rewritten(program, tmp_path / "l.pt2", config, b'"path_name"', b'"path"')
    with pytest.raises(ValueError, match="must be an object with path_name"):
        audit_pt2.load_program(lacking)
    wrong = rewritten(
        program, tmp_path / "w.pt2", config, b'"use_pickle": false', b'"use_pickle": 0'
    )
    with pytest.raises(ValueError, match="use_pickle` must be true or false; got 0"):
        audit_pt2.load_program(wrong)
    bomb = tmp_path / "bomb.pt2"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data/weights/weight_0", bytes(10_000_000))
    with pytest.raises(ValueError, match="must not unpack to more than it is"):
        audit_pt2.load_program(bomb)
