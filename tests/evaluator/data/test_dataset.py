"""Data sets read from folders, parquet and torchvision, and what is refused."""

from __future__ import annotations

import io
import os
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from evaluator.data.dataset import split, subset
from evaluator.data.open import open_data
from space.common.errors import DataError, NoAnswerError
from tests.helpers.images import image_folder, picture


def test_folder_with_parts(tmp_path: Path) -> None:
    data = open_data(image_folder(tmp_path))
    assert data.classes == ("class0", "class1", "class2")
    assert (len(data.train), len(data.test)) == (24, 24)
    assert data.split == "train/ and test/"
    for part in (data.train, data.test):
        for index in range(24):
            assert f"class{part.labels[index]}{os.sep}" in part.name(index)
            pixels = np.asarray(part.image(index))
            assert pixels.mean((0, 1)).argmax() == part.labels[index]


def test_folder_without_parts(tmp_path: Path) -> None:
    image_folder(tmp_path, parts=("",), each=10)
    data = open_data(tmp_path, held_out=0.2, seed=3)
    names = [{part.name(i) for i in range(len(part))} for part in (data.train, data.test)]
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == 30
    assert np.bincount(data.test.labels).tolist() == [2, 2, 2]
    assert data.split == "20% of each class held out, seed 3"
    again = open_data(tmp_path, held_out=0.2, seed=3)
    assert again.key == data.key
    assert open_data(tmp_path, held_out=0.2, seed=4).key != data.key


def test_val_is_a_test_part(tmp_path: Path) -> None:
    assert open_data(image_folder(tmp_path, parts=("train", "val"))).split == "train/ and val/"


def test_key_follows_the_content(tmp_path: Path) -> None:
    before = open_data(image_folder(tmp_path)).key
    Image.fromarray(picture(1, np.random.default_rng(9))).save(tmp_path / "train/class1/000.png")
    assert open_data(tmp_path).key != before


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_grey_and_colour_become_rgb(tmp_path: Path, mode: str) -> None:
    image_folder(tmp_path)
    suffix = "tif" if mode == "CMYK" else "png"
    path = tmp_path / "train/class0" / f"000a.{suffix}"
    Image.fromarray(picture(0, np.random.default_rng(0))).convert(mode).save(path)
    part = open_data(tmp_path).train
    (index,) = [i for i in range(len(part)) if part.name(i) == str(path)]
    image = part.image(index)
    assert (image.mode, image.size) == ("RGB", (16, 16))


def broken(tmp_path: Path, how: str) -> Path:
    """A folder with one thing wrong with it."""
    first = tmp_path / "train/class0/000.png"
    if how == "one class":
        return image_folder(tmp_path, classes=1)
    if how == "no folders":
        (tmp_path / "train").mkdir()
        return tmp_path
    image_folder(tmp_path)
    if how == "empty class":
        for path in (tmp_path / "train/class1").iterdir():
            path.unlink()
    elif how == "truncated":
        first.write_bytes(first.read_bytes()[:60])
    elif how == "no image":
        first.write_text("hello")
    elif how == "sixteen bits":
        Image.fromarray(np.zeros((16, 16), dtype=np.uint16)).save(first)
    elif how == "classes differ":
        (tmp_path / "test/class2").rename(tmp_path / "test/cat")
    return tmp_path


@pytest.mark.parametrize(
    "how, message",
    [
        ("one class", "train must have at least 2 class folders; got only class0"),
        ("no folders", "must hold a folder of images for each class; it has no folders"),
        ("empty class", "class1 has no images .*: fill or remove it"),
        ("classes differ", r"same class folders in both parts; only in test/: cat; only in "),
    ],
)
def test_folder_refused(tmp_path: Path, how: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_data(broken(tmp_path, how))


@pytest.mark.parametrize(
    "how, message",
    [
        ("truncated", r"class0.000\.png cannot be read as an image: .*Repair or remove it"),
        ("no image", r"class0.000\.png cannot be read as an image"),
        ("sixteen bits", r"000\.png must be an 8-bit grey or colour image; got mode I;16"),
    ],
)
def test_image_refused(tmp_path: Path, how: str, message: str) -> None:
    part = open_data(broken(tmp_path, how)).train
    assert part.image(1).mode == "RGB"
    with pytest.raises(DataError, match=message):
        part.image(0)


def test_unreadable_class_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root nothing is unreadable, so the system's answer is put in its place."""
    image_folder(tmp_path)
    scan = os.scandir

    def denied(path: Any) -> Any:
        if str(path).endswith("class1"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(DataError, match="class1 cannot be read: Permission denied"):
        open_data(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist"):
        open_data(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"must be a folder of class folders or .*file is a file"):
        open_data(tmp_path / "file")


def encoded(label: int, rng: np.random.Generator) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture(label, rng)).save(out, "PNG")
    return out.getvalue()


def parquet(path: Path, labels: list[Any], image: str = "image", wrap: bool = False) -> None:
    rng = np.random.default_rng(0)
    images: list[Any] = [encoded(index % 3, rng) for index in range(len(labels))]
    if wrap:
        images = [{"bytes": value, "path": None} for value in images]
    pq.write_table(pa.table({image: images, "label": labels}), path)


@pytest.mark.parametrize("wrap", [False, True])
def test_parquet(tmp_path: Path, wrap: bool) -> None:
    parquet(tmp_path / "train-0.parquet", [0, 1, 2] * 4, wrap=wrap)
    parquet(tmp_path / "test-0.parquet", [0, 1, 2], wrap=wrap)
    data = open_data(tmp_path)
    assert (len(data.train), len(data.test), data.classes) == (12, 3, ("0", "1", "2"))
    assert np.asarray(data.train.image(4)).mean((0, 1)).argmax() == 1


def test_parquet_with_names_and_no_test_part(tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    parquet(path, ["owl", "ant", "cat"] * 10, image="picture")
    data = open_data(path, held_out=0.1)
    assert data.classes == ("ant", "cat", "owl")
    assert np.bincount(data.test.labels).tolist() == [1, 1, 1]


def test_parquet_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    parquet(path, [0, 1, 2], image="photo")
    with pytest.raises(DataError, match=r"has no column one of image.*--image-column"):
        open_data(path)
    with pytest.raises(DataError, match=r"has no column what; name it with --label-column"):
        open_data(path, image_column="photo", label_column="what")
    with pytest.raises(DataError, match=r"column label of .* must hold encoded images .*int64"):
        open_data(path, image_column="label")
    path.write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        open_data(path)
    parquet(path, [0, 1, None], image="image")
    with pytest.raises(DataError, match=r"row 2 of column label of .* has no label"):
        open_data(path)


def test_parquet_damaged_image(tmp_path: Path) -> None:
    images = [b"no image"] * 30
    table = pa.table({"image": images, "label": [0, 1] * 15})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"image \d+ of .*a\.parquet cannot be read as an image"):
        open_data(tmp_path / "a.parquet").train.image(0)


def idx(path: Path, values: np.ndarray) -> None:
    """MNIST's format: a magic number, the shape, the bytes."""
    shape = struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(bytes([0, 0, 8, values.ndim]) + shape + values.astype(np.uint8).tobytes())


def test_torchvision(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    labels = np.arange(20) % 10
    for name in ("train", "t10k"):
        idx(raw / f"{name}-images-idx3-ubyte", labels[:, None, None] * np.ones((20, 28, 28)))
        idx(raw / f"{name}-labels-idx1-ubyte", labels)
    data = open_data(f"torchvision:MNIST:{tmp_path}")
    assert (len(data.train), len(data.test), len(data.classes)) == (20, 20, 10)
    assert data.classes[3] == "3 - three"
    image = data.test.image(13)
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (28, 28), (3, 3, 3))


def test_torchvision_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"CIFAR10:.* cannot be read from .*--download"):
        open_data(f"torchvision:CIFAR10:{tmp_path}")
    for name in ("NOPE", "", "VisionDataset", "FakeData", "wrap_dataset_for_transforms_v2"):
        with pytest.raises(DataError, match=f"torchvision has no data set '{name}'"):
            open_data(f"torchvision:{name}:{tmp_path}")
    with pytest.raises(DataError, match="give the folder itself, without torchvision:ImageFolder"):
        open_data(f"torchvision:ImageFolder:{tmp_path}")
    with pytest.raises(DataError, match=r"torchvision:DTD:.* cannot be read from .*--download"):
        open_data(f"torchvision:DTD:{tmp_path}")
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"\0\0\x08\x01\0\0\xff\xff no")
    with pytest.raises(DataError, match=r"torchvision:MNIST:.* cannot be read from"):
        open_data(f"torchvision:MNIST:{tmp_path}")


def test_changed_torchvision_files_are_decoded_anew(tmp_path: Path) -> None:
    """Equal labels, other pixels: what is cached of the former is not used."""
    stamps = []
    for value in (1, 2):
        raw = tmp_path / "MNIST/raw"
        raw.mkdir(parents=True, exist_ok=True)
        for name in ("train", "t10k"):
            idx(raw / f"{name}-images-idx3-ubyte", np.full((20, 28, 28), value))
            idx(raw / f"{name}-labels-idx1-ubyte", np.arange(20) % 10)
        stamps.append(open_data(f"torchvision:MNIST:{tmp_path}").train.stamp)
    assert stamps[0] != stamps[1]


class Parted:
    """A data set of torchvision's kind with three parts."""

    def __init__(self, root: str, split: str = "train") -> None:
        if split not in ("train", "val", "test"):
            raise ValueError(f"Unknown value '{split}' for argument split.")
        self.targets, self.split = [0, 1, 1], split

    def __len__(self) -> int:
        return len(self.targets)


def test_torchvision_with_three_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets, "DTD", Parted)
    data = open_data(f"torchvision:DTD:{tmp_path}")
    assert "train and val; test is not used, neither to train nor to choose" in data.split


def test_subset_is_balanced_and_seeded(tmp_path: Path) -> None:
    part = open_data(image_folder(tmp_path, each=9)).train
    chosen = subset(part, 12, seed=1)
    assert np.bincount(chosen.labels).tolist() == [4, 4, 4]
    names = [chosen.name(i) for i in range(12)]
    assert len(set(names)) == 12
    assert [subset(part, 12, seed=1).name(i) for i in range(12)] == names
    assert [subset(part, 12, seed=2).name(i) for i in range(12)] != names
    assert subset(part, 0, seed=1) is part
    assert subset(part, 27, seed=1) is part


def test_split_keeps_one_of_each_class(tmp_path: Path) -> None:
    part = open_data(image_folder(tmp_path, each=2)).train
    kept, away, _ = split(part, 3, seed=0, held_out=0.9)
    assert np.bincount(kept.labels).tolist() == np.bincount(away.labels).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match=r"held out must be in 0\.\.1; got 1"):
        split(part, 3, seed=0, held_out=1)


@pytest.mark.parametrize("package", ["pyarrow", "torchvision"])
def test_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    parquet(tmp_path / "a.parquet", [0, 1])
    monkeypatch.setitem(sys.modules, package, None)
    where = tmp_path if package == "pyarrow" else "torchvision:MNIST"
    with pytest.raises(NoAnswerError, match=f"{package}, which is not installed: pip install"):
        open_data(where)
