"""torchvision's weights of ShuffleNet v2 start a training of the same network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from evaluator.train import main
from evaluator.training.loop import Training
from evaluator.training.recipes.recipe import SHORT
from evaluator.training.source import read_network, read_trained
from evaluator.training.weights.start_weights import (
    SIZES,
    load_torchvision_start,
    read_torchvision_weights,
)
from space.network.resize import on_input
from tests.helpers.batches import FixedBatches
from tests.helpers.training import failed

pytestmark = pytest.mark.usefixtures("image_cache")
NAME = "ShuffleNet v2 0.5x"
WORDS = [*NAME.split(), *"--input 32 --batch 8 --steps 1 --workers 0 --lr 1e-9".split()]


def torchvisions(size: str = "0.5", **options: Any) -> nn.Module:
    from torchvision.models import get_model

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        name = f"shufflenet_v2_x{size.replace('.', '_')}"
        module = get_model(name, weights=None, **options)
        for value in module.buffers():
            if value.is_floating_point():
                value.uniform_(0.5, 1.5)
    return module


def saved(path: Path, module: nn.Module) -> Path:
    torch.save(module.state_dict(), path)
    return path


def started(path: Path, name: str, classes: int, **options: Any) -> Training:
    network = read_network(name)
    recipe = SHORT.changed(input=32, batch=8, **options)
    adapted = on_input(network, 32, 32, classes=classes, channels=recipe.channels)
    training = Training(adapted, recipe, 8, FixedBatches(), FixedBatches())
    load_torchvision_start(read_torchvision_weights(path, network), training, classes)
    return training


@pytest.mark.parametrize(
    "size", [pytest.param(size, marks=pytest.mark.slow if size != "0.5" else ()) for size in SIZES]
)
def test_the_four_networks(tmp_path: Path, size: str) -> None:
    """Layer by layer on small images; the strides of the stem hold no weights."""
    reference = torchvisions(size, num_classes=5).eval()
    training = started(saved(tmp_path / "w.pth", reference), f"ShuffleNet v2 {size}x", 5, ema=0.9)
    reference.conv1[0].stride, reference.maxpool = (1, 1), nn.Identity()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = reference(x)
        torch.testing.assert_close(training.module.eval()(x), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 1e-3
    for name, value in training.module.state_dict().items():
        assert torch.equal(training.averaged[name], value)


def test_other_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The classifier keeps its first weights, and a line says so; the other layers do not."""
    path = saved(tmp_path / "w.pth", torchvisions())
    training = started(path, NAME, 3)
    said = capsys.readouterr().err
    assert (
        said
        == f"the classifier of {path} is for 1000 classes and the data has 3: it starts anew\n"
    )
    fresh = Training(training.network, training.recipe, 8, FixedBatches(), FixedBatches())
    new = fresh.module.state_dict()
    for name, value in training.module.state_dict().items():
        if ".linear." in name:
            assert torch.equal(value, new[name])
        elif name.endswith(("conv.weight", "running_mean", "running_var")):
            assert not torch.equal(value, new[name])
    with pytest.raises(
        ValueError, match=r"w\.pth is for colour images; --channels must be 3, got 1"
    ):
        started(path, NAME, 3, channels=1)


def test_a_training_from_them(
    small_images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From their path and from torchvision's own place; other weights are another training."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    line = [*WORDS, "--data", str(small_images), "--out", str(tmp_path / "out")]
    said = failed(capsys, 2, *line, "--weights", "torchvision")
    assert "--weights torchvision needs the weights of shufflenet_v2_x0_5 on this disk" in said
    place = tmp_path / "hub" / "checkpoints" / "shufflenetv2_x0.5-f707e7126e.pth"
    place.parent.mkdir(parents=True)
    module = torchvisions()
    saved(place, module)
    assert main([*line, "--weights", "torchvision"]) == 0
    found = read_trained(tmp_path / "out" / "last.safetensors")
    stem = torch.from_numpy(found.weights["blocks.0.0.conv.weight"])
    torch.testing.assert_close(stem, module.state_dict()["conv1.0.weight"], rtol=1e-4, atol=1e-5)
    assert main([*line, "--weights", str(place)]) == 0
    said = failed(capsys, 2, *line)
    assert "is of another training (start: stored " in said


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda s: s.pop("conv5.0.weight"),
            r"tensor 'conv5\.0\.weight' must be \[1024, 192, 1, 1\]; got absent",
        ),
        (lambda s: s.update(more=torch.zeros(1)), r"tensor 'more' must be absent; got \[1\]"),
        (
            lambda s: s.update({"fc.bias": torch.zeros(7)}),
            r"tensor 'fc\.weight' must be \[7, 1024\]",
        ),
        (lambda s: s.pop("fc.bias"), r"tensor 'fc\.bias' must be \[1000\]; got absent"),
        (
            lambda s: s["conv1.0.weight"].fill_(float("nan")),
            r"tensor 'conv1\.0\.weight' must be finite",
        ),
        (lambda s: s.update(more=3), "must hold a state_dict, names with tensors"),
    ],
)
def test_other_files(tmp_path: Path, change: Any, message: str) -> None:
    state = torchvisions().state_dict()
    change(state)
    torch.save(dict(state), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=rf"w\.pth.*{message}"):
        read_torchvision_weights(tmp_path / "w.pth", read_network(NAME))


def test_other_networks(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", torchvisions())
    with pytest.raises(
        ValueError, match=r"w\.pth: only torchvision's ShuffleNet v2 can be read: t"
    ):
        read_torchvision_weights(path, read_network("MobileNet v2 1.0"))
    with pytest.raises(
        ValueError, match=r"tensor 'conv5\.0\.weight' must be \[1024, 464, 1, 1\]; got"
    ):
        read_torchvision_weights(path, read_network("ShuffleNet v2 1.0x"))
    for content in (b"", b"\x80\x02cos\nsystem\n.", path.read_bytes()[:-100]):
        (tmp_path / "bad.pth").write_bytes(content)
        with pytest.raises(
            ValueError, match=r"bad\.pth must hold weights, as torch\.save or"
        ) as got:
            read_torchvision_weights(tmp_path / "bad.pth", read_network(NAME))
        assert "\n" not in str(got.value)
