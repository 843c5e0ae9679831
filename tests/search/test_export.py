"""Weights to ONNX by the command: the outputs of the module that wrote them, and what they are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from safetensors.torch import load_file, save_file

from search.export import main
from search.result.export import export_network
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.torch_module import NetworkModule, build_module
from tests.helpers.hostile import examples, mutated_bytes, mutated_json, run_hostile
from tests.helpers.images import TINY
from tests.helpers.trained import CLASSES, trained_metadata, trained_module, write_trained

WINNERS = {
    "winners": [
        {"name": "winner 1", "files": ["winner-1.safetensors", "winner-1.onnx"]},
        {"name": "winner 2", "files": ["winner-2.safetensors", "winner-2.onnx"]},
    ]
}


def same_outputs(path: Path, module: NetworkModule) -> None:
    images = torch.randn(3, *module.network.input_shape, generator=torch.manual_seed(1))
    with torch.inference_mode():
        expected = module(images).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"input": images.numpy()})
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


def metadata(path: Path) -> dict[str, str]:
    onnx.checker.check_model(str(path))
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def test_trained_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = write_trained(tmp_path / "last.v1.safetensors")
    assert main([str(tmp_path / "last.v1.safetensors"), "--out", str(tmp_path / "out")]) == 0
    path = tmp_path / "out" / "last.v1.onnx"
    same_outputs(path, module)
    found = metadata(path)
    assert found["architecture"] == TINY
    assert found["weights"].startswith("trained, seed 3, recipe short, epoch 10, data pets, ")
    assert tuple(json.loads(found["classes"])) == CLASSES
    assert json.loads(found["input"]) == [3, 32, 32]
    assert json.loads(found["mean"])[0] == 0.485
    told = capsys.readouterr().out
    assert "trained weights: 3x32x32, 3 classes; seed 3" in told
    assert "accuracy 87.50 % on the test images" in told
    assert f"{path}; ONNX against torch: " in told
    assert [each.name for each in path.parent.iterdir()] == ["last.v1.onnx"]


def write_winners(folder: Path) -> NetworkModule:
    """A trained winner 1, and an initialised winner 2 for 96x64, one channel and 7 classes."""
    module = write_trained(folder / "winner-1.safetensors")
    space = ShuffleNetV2Space(height=96, width=64, channels=1, classes=7)
    export_network(space.lower(space.parse(TINY)), folder / "winner-2", seed=4)
    (folder / "winners.json").write_text(json.dumps(WINNERS))
    return module


def test_winners(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = write_winners(tmp_path)
    assert main([str(tmp_path / "winners.json"), "--out", str(tmp_path / "out")]) == 0
    same_outputs(tmp_path / "out" / "winner-1.onnx", module)
    space = ShuffleNetV2Space(height=96, width=64, channels=1, classes=7)
    initialised = build_module(space.lower(space.parse(TINY)), 4)
    same_outputs(tmp_path / "out" / "winner-2.onnx", initialised)
    assert metadata(tmp_path / "out" / "winner-2.onnx")["weights"] == "initialised, seed 4"
    assert "initialised weights, seed 4: 1x96x64, 7 classes" in capsys.readouterr().out
    words = [f"{tmp_path / 'winners.json'}:winner 1", "--out", str(tmp_path / "one")]
    assert main(words) == 0
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["winner-1.onnx"]


def test_without_winners_the_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A search whose answer is ShuffleNet v2 has its files; one with winners has no others."""
    module = write_trained(tmp_path / "baseline.safetensors")
    base = {"name": "ShuffleNet v2 1x", "files": ["baseline.safetensors", "baseline.onnx"]}
    path = tmp_path / "winners.json"
    for number, name in enumerate(("", ":ShuffleNet v2 1x")):
        path.write_text(json.dumps({"winners": [], "baseline": base}))
        out = tmp_path / str(number)
        assert main([f"{path}{name}", "--out", str(out)]) == 0
        same_outputs(out / "baseline.onnx", module)
    capsys.readouterr()
    for record in ({"winners": []}, {"winners": [], "baseline": None},
                   {"winners": [], "baseline": {"name": "ShuffleNet v2 1x"}}):  # fmt: skip
        path.write_text(json.dumps(record))
        assert main([str(path), "--out", str(tmp_path / "none")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "must have weights of a winner; it has 'none'" in line


def test_initialised_weights_of_earlier_searches(tmp_path: Path) -> None:
    """Their metadata have neither input nor classes: those of ImageNet."""
    space = ShuffleNetV2Space()
    module = build_module(space.lower(space.parse(TINY)), 2)
    old = {"architecture": TINY, "weights": "initialised, seed 2"}
    save_file(module.state_dict(), tmp_path / "w.safetensors", {"g4nas": json.dumps(old)})
    assert main([str(tmp_path / "w.safetensors"), "--out", str(tmp_path / "out")]) == 0
    same_outputs(tmp_path / "out" / "w.onnx", module)


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_winners(tmp_path)
    (tmp_path / "a").mkdir()
    write_trained(tmp_path / "a" / "winner-1.safetensors")
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "up.json").write_text(
        json.dumps({"winners": [{"name": "x", "files": ["../w.safetensors"]}]})
    )
    (tmp_path / "file").touch()
    infinite = trained_module()
    with torch.no_grad():
        infinite.state_dict()["blocks.0.0.bn.running_var"].fill_(-1.0)
    text = json.dumps(trained_metadata(infinite))
    save_file(infinite.state_dict(), tmp_path / "nan.safetensors", {"g4nas": text})
    first = str(tmp_path / "winner-1.safetensors")
    for words, told in (
        ([first, str(tmp_path / "a" / "winner-1.safetensors")], "both be winner-1.onnx"),
        ([str(tmp_path / "pipe.safetensors")], "must be a file; it is a pipe"),
        ([str(tmp_path / "no.safetensors")], "No such file"),
        ([str(tmp_path / "winners.json") + ":winner 9"], "must have 'winner 9'; it has"),
        ([str(tmp_path / "up.json")], "must be a file's name; got '../w.safetensors'"),
        ([str(tmp_path / "file")], "FILE must be a .safetensors of evaluator.train"),
        ([str(tmp_path / "nan.safetensors")], "must be finite; they are not"),
        ([first, "--out", str(tmp_path / "file")], "--out must be a folder"),
    ):
        assert main(["--out", str(tmp_path / "out"), *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("search.export: ")
        assert told in line
        assert not list(tmp_path.glob("out/*"))


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:  # type: ignore[no-untyped-def]
    """The message names the file; nothing half-written stays."""
    write_trained(tmp_path / "last.safetensors")

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    out = tmp_path / "out"
    assert main([str(tmp_path / "last.safetensors"), "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert told == f"search.export: {out / 'last.onnx'}: No space left on device\n"
    assert not list(out.iterdir())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_winners(folder)
    return folder


@examples(40)
@given(mutated_json(json.dumps({**WINNERS, "baseline": WINNERS["winners"][0]})))
def test_property_winners(files: Path, data: bytes) -> None:
    path, out = files / "hostile.json", files / "from winners"
    path.write_bytes(data)
    words = [str(path), "--out", str(out)]
    run_hostile(main, words, name="search.export", folders=[out])


@examples(40)
@given(mutated_json(json.dumps(trained_metadata(trained_module()))))
def test_property_metadata(files: Path, data: bytes) -> None:
    path, out = files / "hostile.safetensors", files / "from metadata"
    text = data.decode("utf-8", "replace")
    save_file(load_file(files / "winner-1.safetensors"), path, {"g4nas": text})
    words = [str(path), "--out", str(out)]
    run_hostile(main, words, name="search.export", folders=[out])


@examples(20)
@given(data=mutated_bytes(b""))
def test_property_weights(files: Path, data: bytes) -> None:
    """Bytes put over the beginning, where names, shapes and metadata are."""
    path, out = files / "bytes.safetensors", files / "from bytes"
    valid = (files / "winner-2.safetensors").read_bytes()
    place = len(data) * 7 % 400
    path.write_bytes(valid[:place] + data + valid[place + len(data) :])
    words = [str(path), "--out", str(out)]
    run_hostile(main, words, name="search.export", folders=[out])
