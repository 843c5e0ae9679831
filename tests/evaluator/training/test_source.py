"""Weights of a training, and winners of a search, read from files that may hold anything."""

from __future__ import annotations

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from evaluator.train import main
from evaluator.training.source import named_network, read_metadata, read_network, read_trained
from tests.helpers.hostile import examples, mutated_bytes, mutated_json, run_hostile
from tests.helpers.images import TINY
from tests.helpers.training import WORDS

pytestmark = pytest.mark.usefixtures("image_cache")


@pytest.fixture(scope="module")
def trained(small_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """last.safetensors of a training."""
    out = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("G4NAS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        assert main([*WORDS, "--data", str(small_images), "--out", str(out)]) == 0
    return out / "last.safetensors"


def rewritten(
    path: Path,
    trained: Path,
    metadata: Callable[[dict[str, Any]], object] | None = None,
    tensors: Callable[[dict[str, Any]], object] | None = None,
) -> Path:
    """A copy with other metadata or tensors."""
    about, arrays = read_metadata(trained), load_file(trained)
    for change, value in ((metadata, about), (tensors, arrays)):
        if change is not None:
            change(value)
    path.write_bytes(save(arrays, {"g4nas": json.dumps(about)}))
    return path


def test_trained_weights_are_complete(trained: Path, small_images: Path) -> None:
    """From the file alone: the accuracy that it states, on images that PIL decodes."""
    from PIL import Image

    found = read_trained(trained)
    assert (found.architecture, found.input_shape) == (TINY, (3, 16, 16))
    assert found.classes == ("class0", "class1", "class2")
    module, right = found.module(), 0
    for label, name in enumerate(found.classes):
        for path in sorted((small_images / "test" / name).iterdir()):
            pixels = np.asarray(Image.open(path), dtype=np.float32) / 255
            x = (pixels - np.float32(found.mean)) / np.float32(found.std)
            with torch.inference_mode():
                logits = module(torch.from_numpy(x).permute(2, 0, 1)[None])
            right += int(logits.argmax()) == label
    assert 100 * right / 24 == pytest.approx(found.metadata["test_accuracy"])


def put(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda value: value.update(fields)


@pytest.mark.parametrize(
    "change, message",
    [
        (put(architecture=5), "`architecture` must be a text; got 5"),
        (put(architecture="x"), "ARCH must be a line that begins with shufflenet_v2"),
        (put(architecture="/dev/zero.safetensors"), "ARCH must be a line that begins with"),
        (put(architecture="ShuffleNet v2 0.5x"), "`blocks` must be those of `architecture`"),
        (put(input=None), "`input` must be a list; got None"),
        (put(input=[3, 16]), "`input` must be a list of 3 to 3 items"),
        (put(input=[3, 2, 2]), "divides its input by"),
        (put(input=[1, 16, 16]), "`blocks` must be those of `architecture`"),
        (put(input=[3, 10**12, 16]), "`input[1]` must be an integer from 1 to 65536"),
        (put(classes={}), "`classes` must be a list"),
        (put(classes=["a"]), "`blocks` must be those of `architecture`"),
        (put(mean=[0, 0]), "`mean` must be 3 numbers"),
        (put(std=[0, 1, 1]), "`std` must be 3 numbers, those of `std` above 0"),
        (put(recipe=[]), "`recipe` must be an object"),
        (put(recipe={"drop": "2"}), "`recipe.drop` must be an integer from 0 to 2; got '2'"),
        (lambda about: about.pop("classes"), "must be an object with classes"),
        (
            lambda about: (about.pop("input"), about.update(weights="initialised, seed 0")),
            "must hold trained weights; these are 'initialised, seed 0'",
        ),
    ],
)
def test_metadata_of_a_wrong_kind(
    trained: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    path = rewritten(tmp_path / "x.safetensors", trained, change)
    with pytest.raises(ValueError, match="^" + str(path)) as caught:
        read_trained(path)
    assert message in str(caught.value)


KEY = "blocks.0.0.conv.weight"


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.pop(KEY), "must be F32 [8, 3, 3, 3]; got absent"),
        (lambda t: t.update(x=t[KEY]), "must be absent; got F32 [8, 3, 3, 3]"),
        (lambda t: t.update({KEY: t[KEY][:4]}), "must be F32 [8, 3, 3, 3]; got F32 [4, 3, 3, 3]"),
        (
            lambda t: t.update({KEY: t[KEY].astype(np.float16)}),
            "8, 3, 3, 3]; got F16",
        ),
        (lambda t: t[KEY].fill(np.nan), f"tensor {KEY} must be finite"),
        (lambda t: t.clear(), "got absent"),
    ],
)
def test_tensors_of_another_network(
    trained: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    path = rewritten(tmp_path / "x.safetensors", trained, None, change)
    with pytest.raises(ValueError, match="^" + str(path)) as caught:
        read_trained(path)
    assert message in str(caught.value)


@pytest.mark.parametrize("reader", [read_trained, read_metadata])
@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "header too small"),
        (struct.pack("<Q", 2**60) + b"{}", "header too large"),
        (pickle.dumps({"a": 1}) * 10, "damaged or of another program"),
        (save({"x": np.zeros(1)}), "it has no such metadata"),
        (save({"x": np.zeros(1)}, {"g4nas": "{"}), "metadata: line 1: not JSON"),
        (save({"x": np.zeros(1)}, {"g4nas": "[]"}), "metadata: the content must be an object"),
        (save({"x": np.zeros(1)}, {"g4nas": "[" * 9000}), "nests too deep"),
    ],
)
def test_files_of_another_kind(
    tmp_path: Path, reader: Callable[[Path], object], content: bytes, message: str
) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="^" + str(path)) as caught:
        reader(path)
    assert message in str(caught.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    """A pipe would be waited for."""
    os.mkfifo(tmp_path / "pipe.safetensors")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("pipe.safetensors", "pipe.json", "folder.safetensors"):
        with pytest.raises(ValueError, match="must be a file; it is a"):
            read_network(str(tmp_path / name))


def test_files_name_networks_alone(tmp_path: Path) -> None:
    """A file never leads to another file."""
    path = tmp_path / "winners.json"
    path.write_text(json.dumps({"winners": [{"name": "a", "architecture": str(path)}]}))
    with pytest.raises(ValueError, match=r"winners\.json: ARCH must be a line that begins with"):
        read_network(str(path))
    with pytest.raises(ValueError, match="ARCH must be a line"):
        named_network(str(path))


WINNERS = json.dumps({"winners": [{"name": "fast", "architecture": TINY}], "seed": 1})


@examples(60)
@given(content=mutated_json(WINNERS), name=st.sampled_from(("", ":fast", ":x")))
def test_property_winners(
    content: bytes, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("winners")
    (folder / "winners.json").write_bytes(content)
    words = [f"{folder / 'winners.json'}{name}", "--data", str(folder / "none")]
    assert run_hostile(main, [*words, "--out", str(folder / "o")], name="evaluator.train")


@pytest.fixture(scope="module")
def parts(trained: Path) -> tuple[bytes, dict[str, Any], Any]:
    """The file's bytes, its metadata, its tensors."""
    return trained.read_bytes(), read_metadata(trained), load_file(trained)


def read_or_refuse(path: Path, content: bytes) -> bool:
    """Whether the reader accepts it; it raises one line that begins with the file else."""
    path.write_bytes(content)
    try:
        read_trained(path)
    except ValueError as error:
        assert str(error).startswith(str(path)), error
        assert "\n" not in str(error)
        assert len(str(error)) < 2000
        return False
    return True


@examples(40)
@given(data=st.data())
def test_property_metadata(
    data: st.DataObject, parts: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _, about, arrays = parts
    text = data.draw(mutated_json(json.dumps(about))).decode("utf-8", "replace")
    folder = tmp_path_factory.mktemp("metadata")
    read_or_refuse(folder / "x.safetensors", save(arrays, {"g4nas": text}))


@examples(40)
@given(data=st.data())
def test_property_bytes(
    data: st.DataObject, parts: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = parts[0]
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    changed = data.draw(mutated_bytes(whole[:header]))
    folder = tmp_path_factory.mktemp("bytes")
    read_or_refuse(folder / "x.safetensors", changed + whole[header:])


def test_a_network_off_the_shelf_has_a_name_too() -> None:
    assert read_network("PP-LCNet 0.5").flops == 44_731_008
