"""Teachers of torchvision and timm, trained files, ONNX files: what they see, who is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

from evaluator.training.images.batches import MEAN, STD
from evaluator.training.recipes.recipe import SHORT
from evaluator.training.teachers.open_teacher import open_teacher
from evaluator.training.teachers.teacher_config import TeacherConfig
from tests.helpers.trained import CLASSES, trained_metadata, trained_module, write_trained

RECIPE = SHORT.changed(input=32)
X = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def opened(name: object, classes: Any = CLASSES, recipe: Any = RECIPE, **options: Any) -> Any:
    return open_teacher(TeacherConfig(name=str(name), **options), recipe, classes, "cpu")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch.hub, and one of the Hugging Face hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def torchvision_model(classes: int) -> nn.Module:
    from torchvision.models import get_model

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        return get_model("squeezenet1_1", weights=None, num_classes=classes).eval()


def test_torchvisions_own_weights(hub: Path) -> None:
    """It sees the images at its size, in its own mean and deviation, which are those of here."""
    from torchvision.models import get_model_weights

    module = torchvision_model(1000)
    url = get_model_weights("squeezenet1_1").DEFAULT.url
    torch.save(module.state_dict(), hub / url.rpartition("/")[2])
    classes = [str(number) for number in range(1000)]
    for name in ("squeezenet1_1", "torchvision:squeezenet1_1"):
        teacher = opened(name, classes)
        with torch.no_grad():
            larger = functional.interpolate(X, (224, 224), mode="bilinear")
            torch.testing.assert_close(teacher.logits(X), module(larger))
    assert teacher.text((32, 32)).endswith("it sees 32x32 images resized to 224x224")
    assert not any(p.requires_grad for p in teacher.network.module.parameters())
    with pytest.raises(ValueError, match="squeezenet1_1 has 1000 classes; the data has 3"):
        opened("squeezenet1_1")


def test_weights_of_a_user(tmp_path: Path, hub: Path) -> None:
    module, path = torchvision_model(3), tmp_path / "mine.pth"
    torch.save({"state_dict": module.state_dict(), "epoch": 3}, path)
    state = torch.random.get_rng_state()
    teacher = opened("squeezenet1_1", weights=path, input=32)
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.no_grad():
        torch.testing.assert_close(teacher.logits(X), module(X))
    digest = teacher.record()["digest"]
    module.state_dict()["features.0.bias"][0] += 1
    torch.save(module.state_dict(), path)
    assert opened("squeezenet1_1", weights=path, input=32).record()["digest"] != digest
    torch.save(torchvision_model(7).state_dict(), path)
    with pytest.raises(ValueError, match="squeezenet1_1 has 7 classes; the data has 3: give"):
        opened("squeezenet1_1", weights=path)


def test_timm(tmp_path: Path, hub: Path) -> None:
    """Its own mean and deviation are 1/2."""
    import timm
    from safetensors.torch import save_file

    name = "mobilenetv3_small_050"
    about = timm.get_pretrained_cfg("vit_tiny_patch16_224")
    assert about.mean == (0.5, 0.5, 0.5)  # so a network whose numbers are others exists
    module = timm.create_model(name, num_classes=3).eval()
    path = tmp_path / "mine.safetensors"
    save_file(module.state_dict(), path)
    teacher = opened(f"timm:{name}", weights=path, input=32)
    with torch.no_grad():
        torch.testing.assert_close(teacher.logits(X), module(X))
    with pytest.raises(ValueError, match=f"{name} has 1000 classes; the data has 3"):
        opened(name)
    classes = [str(number) for number in range(1000)]
    with pytest.raises(ValueError, match=f"{name} needs its weights on this disk, as nothing is"):
        opened(name, classes)
    # What timm itself has fetched.
    whole = timm.create_model(name).eval()
    torch.save(whole.state_dict(), hub / timm.get_pretrained_cfg(name).url.rpartition("/")[2])
    with torch.no_grad():
        found, expected = opened(name, classes, input=32).logits(X), whole(X)
    torch.testing.assert_close(found, expected)


def test_a_trained_file_sees_images_in_its_own_way(tmp_path: Path) -> None:
    module = trained_module()
    about = trained_metadata(module) | {"mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.3]}
    write_trained(tmp_path / "t.safetensors", about)
    teacher = opened(tmp_path / "t.safetensors")
    pixels = X * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    theirs = [torch.tensor(about[name])[:, None, None] for name in ("mean", "std")]
    with torch.no_grad():
        torch.testing.assert_close(teacher.logits(X), module((pixels - theirs[0]) / theirs[1]))
        larger = teacher.view(torch.randn(2, 3, 48, 48))
    assert larger.shape == (2, 3, 32, 32)
    with pytest.raises(ValueError, match=r"t\.safetensors has 3 classes; the data has 2"):
        opened(tmp_path / "t.safetensors", CLASSES[:2])
    with pytest.raises(ValueError, match=r"other classes than the data: class 1 is .* and 'dog'"):
        opened(tmp_path / "t.safetensors", (CLASSES[0], "dog", CLASSES[2]))
    with pytest.raises(ValueError, match=r"takes images of 3 channels; --channels is 1"):
        opened(tmp_path / "t.safetensors", recipe=RECIPE.changed(channels=1))


def exported(path: Path, module: nn.Module, side: int = 32, *, free: bool = True) -> Path:
    """An ONNX file of a module, with a batch of any size or of one image."""
    shapes = ({0: torch.export.Dim.DYNAMIC},) if free else None
    x = torch.zeros(2 if free else 1, 3, side, side)
    torch.onnx.export(
        module.eval(), (x,), path, dynamo=True, dynamic_shapes=shapes, verbose=False,
        external_data=False,
    )  # fmt: skip
    return path


class Flat(nn.Module):
    """Means of the channels of patches as classes. `shape`: of the output of an image."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape
        self.linear = nn.Linear(3, torch.Size(shape).numel())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.mean((2, 3))).unflatten(1, self.shape)


@pytest.mark.slow
@pytest.mark.parametrize("free", [True, False])
def test_onnx(tmp_path: Path, free: bool) -> None:
    module = Flat(3)
    teacher = opened(exported(tmp_path / "t.onnx", module, free=free))
    with torch.no_grad():
        torch.testing.assert_close(teacher.logits(X), module(X))
    assert not teacher.on_device
    model = onnx.load(tmp_path / "t.onnx")
    stated = {"mean": [0.5] * 3, "std": [0.25] * 3, "classes": list(CLASSES)}
    for key, value in stated.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value)
    onnx.save(model, tmp_path / "t.onnx")
    teacher = opened(tmp_path / "t.onnx")
    pixels = X * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    with torch.no_grad():
        torch.testing.assert_close(
            teacher.logits(X), module((pixels - 0.5) / 0.25), rtol=1e-4, atol=1e-5
        )
    with pytest.raises(ValueError, match=r"other classes than the data: class 0 is 'cat' there"):
        opened(tmp_path / "t.onnx", ("x", *CLASSES[1:]))


@pytest.mark.slow
def test_onnx_files_that_cannot_teach(tmp_path: Path) -> None:
    path = exported(tmp_path / "t.onnx", Flat(5))
    with pytest.raises(ValueError, match=r"t\.onnx has 5 classes; the data has 3"):
        opened(path)
    path = exported(tmp_path / "m.onnx", Flat(3, 2))
    with pytest.raises(ValueError, match=r"the output must be float \[n, classes\]; got tensor"):
        opened(path)
    with pytest.raises(ValueError, match=r"t\.onnx takes images of 32x32; got --teacher-input 64"):
        opened(tmp_path / "t.onnx", range(5), input=64)
    content = (tmp_path / "t.onnx").read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"x" * 1000, content[:-1] + b"\xff"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"m\.onnx (must be an ONNX file; it is damaged|has)"):
            opened(path)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("resnet999", {}, r"must be a network of torchvision or timm, or the path .* \(resnet"),
        ("torchvision:x y", {}, r"must be a network of torchvision, or .*; got 'x y'"),
        ("keras:resnet50", {}, "must be torchvision:NAME, timm:NAME, NAME or a file"),
        ("resnet50.nonsense", {}, r"resnet50\.nonsense: Invalid pretrained tag"),
        ("t.pth", {}, r"must be a \.safetensors of evaluator\.train, an \.onnx file, or a name"),
        ("t.onnx", {"weights": Path("w")}, "--teacher-weights is for a teacher by name"),
        ("t.safetensors", {"input": 32}, r"--teacher-input is not for a \.safetensors"),
        ("inception_v3", {"weights": Path("w")}, "takes torchvision's own weights alone"),
        ("resnet18", {"weights": Path(__file__)}, "must hold weights, as torch.save or safetens"),
    ],
)
def test_mistakes(hub: Path, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as found:
        opened(name, **options)
    assert "\n" not in str(found.value)


def test_weights_that_are_not_there(hub: Path) -> None:
    """Nothing is fetched; the line says what belongs where."""
    classes = [str(number) for number in range(1000)]
    with pytest.raises(ValueError, match=r"copy https://download\.pytorch\.org/.* to .*checkpoi"):
        opened("resnet18", classes)
    with pytest.raises(ValueError, match="ghostnetv3_050 has no published weights: give a file"):
        opened("timm:ghostnetv3_050", classes)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.onnx"):
        opened("nowhere.onnx")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"share": 1.5}, "--teacher-share must be from 0 to 1; got 1.5"),
        ({"share": float("nan")}, "--teacher-share must be from 0 to 1; got nan"),
        ({"temperature": 0.0}, "--temperature must be from 0.01 to 1000; got 0.0"),
        ({"input": 4}, "--teacher-input must be from 8 to 4096; got 4"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TeacherConfig(name="resnet18", **options)


def test_other_answers_than_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluator.training import source

    class Odd:
        def __init__(self, answer: Any) -> None:
            self.answer = answer

        def to(self, device: str) -> Any:
            return self

        eval = requires_grad_ = lambda self, *_: self

        def __call__(self, x: torch.Tensor) -> Any:
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

    write_trained(tmp_path / "t.safetensors")
    for answer, message in (
        ((torch.zeros(2, 3), 1), "it gives tuple for 2 images"),
        (torch.zeros(2, 3, 4), r"must give \[n, 3\], .*; it gives \[2, 3, 4\] for 2 images"),
        (torch.full((2, 3), float("nan")), "gives numbers that are not finite"),
        (RuntimeError("mat1 and mat2 cannot be multiplied"), "cannot take the images: 'mat1 and"),
    ):
        monkeypatch.setattr(source.TrainedWeights, "module", lambda self, a=answer: Odd(a))
        with pytest.raises(ValueError, match=message):
            opened(tmp_path / "t.safetensors")
