from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import latency.engines.onnx.writer as onnx_graph
from search.result.export import export_network
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.network import Network
from space.network.torch_module import build_module

# Kernels, splits and every guideline-breaking axis, small and at a small size.
WORDS = (
    "stem=24 width=116,232,464 depth=4,8,4 split=1/2,1/2,1/2 kernel=3,3,3 head=1024",
    "stem=8 width=24,60,100 depth=2,3,2 split=1/4,3/8,3/4 kernel=7,5,3 head=256",
    "stem=8 width=32,64,128 depth=3,2,2 split=1/2,1/2,1/2 kernel=3,3,3 head=256 groups=2 "
    "fragments=2-parallel residual=1 extra_relu=1",
)


def _network(words: str) -> Network:
    space = ShuffleNetV2Space(height=64, width=64, classes=10)
    return space.lower(space.parse(f"shufflenet_v2 {words}"))


def _images(batch: int) -> torch.Tensor:
    return torch.randn(batch, 3, 64, 64, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.slow
def test_files_give_the_modules_outputs(words: str, tmp_path: Path) -> None:
    network = _network(words)
    difference = export_network(network, tmp_path / "winner-1", seed=3)
    assert 0 < difference < 1e-5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["winner-1.onnx", "winner-1.safetensors"]

    module = build_module(network, 3)
    other = build_module(network, 99)  # other weights, until they are loaded
    other.load_state_dict(load_file(tmp_path / "winner-1.safetensors"))
    onnx.checker.check_model(str(tmp_path / "winner-1.onnx"))
    session = onnxruntime.InferenceSession(
        tmp_path / "winner-1.onnx", providers=["CPUExecutionProvider"]
    )
    for batch in (1, 3):
        images = _images(batch)
        with torch.inference_mode():
            expected = module(images)
            assert torch.equal(other(images), expected)
        (got,) = session.run(None, {"input": images.numpy()})
        assert got.shape == (batch, 10)
        assert np.abs(got - expected.numpy()).max() < 1e-4 * expected.abs().max()


def test_files_say_what_they_are(tmp_path: Path) -> None:
    network = _network(WORDS[1])
    export_network(network, tmp_path / "w", seed=3)
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        weights = json.loads(file.metadata()["g4nas"])
    graph = {e.key: e.value for e in onnx.load(tmp_path / "w.onnx").metadata_props}
    for told in (weights, graph):
        assert told["architecture"] == network.name
        assert told["weights"] == "initialised, seed 3"


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    texts = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4), ("d", 3)):
        export_network(_network(WORDS[1]), tmp_path / name, seed)
        texts.append([(tmp_path / f"{name}{s}").read_bytes() for s in (".safetensors", ".onnx")])
    assert texts[0] == texts[1] == texts[3]
    assert texts[0][0] != texts[2][0]


def test_a_graph_that_differs_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One weight of the ONNX graph is off; files of an earlier search stay as they are."""
    original = onnx_graph.build_model

    def off(*args: object, **options: object) -> onnx.ModelProto:
        model = original(*args, **options)  # type: ignore[arg-type]
        tensor = model.graph.initializer[0]
        values = onnx.numpy_helper.to_array(tensor) + 0.01
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        return model

    monkeypatch.setattr(onnx_graph, "build_model", off)
    (tmp_path / "w.onnx").write_text("earlier")
    with pytest.raises(ValueError, match=r"ONNX and torch must agree within 1e-4 on shufflenet"):
        export_network(_network(WORDS[1]), tmp_path / "w", 0)
    assert [p.name for p in tmp_path.iterdir()] == ["w.onnx"]
    assert (tmp_path / "w.onnx").read_text() == "earlier"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("words", WORDS[1:])
def test_torchs_own_exporter_agrees(words: str, tmp_path: Path) -> None:
    """Another route from module to ONNX."""
    pytest.importorskip("onnxscript")
    network = _network(words)
    export_network(network, tmp_path / "ours", seed=3)
    module = build_module(network, 3).eval()
    torch.onnx.export(module, (_images(2),), tmp_path / "torchs.onnx", dynamo=True, verbose=False)
    outputs = []
    for name in ("ours", "torchs"):
        session = onnxruntime.InferenceSession(
            tmp_path / f"{name}.onnx", providers=["CPUExecutionProvider"]
        )
        (only,) = session.get_inputs()
        outputs.append(session.run(None, {only.name: _images(2).numpy()})[0])
    assert np.abs(outputs[0] - outputs[1]).max() < 1e-4 * np.abs(outputs[1]).max()
