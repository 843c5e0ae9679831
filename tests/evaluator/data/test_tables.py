"""Parquet files: which are which part, and what their columns may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluator.data.labels import encode_labels, read_labels
from evaluator.data.open import open_data
from space.common.errors import DataError
from tests.helpers.images import image_table, image_tree, png

TRAIN, TEST = [0, 1] * 6, [0, 1] * 4


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train.parquet", "test.parquet"),
        ("cifar-train.parquet", "cifar-test.parquet"),
        ("train-cifar.parquet", "validation-cifar.parquet"),
        ("Train.PARQUET", "TEST.Parquet"),
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ("train/0000.parquet", "test/0000.parquet"),
        ("plain_text/train/0000.parquet", "plain_text/validation/0000.parquet"),
        ("latest.parquet", "test.parquet"),
        ("a-train.parquet", "dev/b.parquet"),
    ],
)
def test_parts_by_name(tmp_path: Path, train: str, test: str) -> None:
    image_table(tmp_path / train, TRAIN)
    image_table(tmp_path / test, TEST)
    data = open_data(tmp_path)
    assert (len(data.train), len(data.test)) == (12, 8)
    assert all(str(tmp_path / train) in data.train.name(index) for index in range(12))
    names = [Path(name).name for name in (train, test)]
    assert data.split == f"1 and 1 files; trained on {names[0]}, tested on {names[1]}"


def test_three_parts(tmp_path: Path) -> None:
    image_table(tmp_path / "train.parquet", TRAIN)
    image_table(tmp_path / "test.parquet", TEST)
    image_table(tmp_path / "validation.parquet", [0, 1])
    image_table(tmp_path / "extra.parquet", [0, 1])
    data = open_data(tmp_path)
    assert (len(data.train), len(data.test)) == (12, 2)
    assert "test.parquet not used, neither to train nor to choose" in data.split
    assert "extra.parquet not used, as named for no part" in data.split


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train-test.parquet", "x.parquet"], "is named for more than one part"),
        (["test/train-0.parquet"], "is named for more than one part"),
        (["a/train.parquet", "b/train.parquet"], "train files are in a, b: give the folder of"),
        (["test-0.parquet", "val.parquet"], "has no training files, only val.parquet"),
    ],
)
def test_asked(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        image_table(tmp_path / name, TRAIN)
    with pytest.raises(DataError, match=message):
        open_data(tmp_path)


def test_a_single_file(tmp_path: Path) -> None:
    assert len(open_data(image_table(tmp_path / "x.PARQUET", TRAIN)).test) == 2
    assert len(open_data(image_table(tmp_path / "latest.parquet", TRAIN)).test) == 2
    with pytest.raises(DataError, match="has no training images, by its name"):
        open_data(image_table(tmp_path / "cifar-Test.parquet", TRAIN))


def test_hidden_and_linked_files(tmp_path: Path) -> None:
    image_table(tmp_path / "train.parquet", TRAIN)
    image_table(tmp_path / "test.parquet", TEST)
    (tmp_path / "._train.parquet").write_bytes(b"Mac OS X")
    image_table(tmp_path / ".ipynb_checkpoints/train-checkpoint.parquet", TRAIN)
    (tmp_path / "train-more.parquet").symlink_to("test.parquet")
    data = open_data(tmp_path)
    assert (len(data.train), len(data.test)) == (12, 8)
    assert "1 links to files that count elsewhere are left out" in data.split


def test_images_beside_tables(tmp_path: Path) -> None:
    image_table(tmp_path / "data/train.parquet", TRAIN)
    image_tree(tmp_path, {"assets": 2})
    data = open_data(tmp_path)
    assert len(data.train) + len(data.test) == 12
    assert data.split.endswith("2 images beside the parquet files are not used")
    image_tree(tmp_path, {"cat": 2})
    with pytest.raises(DataError, match="must hold class folders or parquet files; got"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("labels", "classes", "said"),
    [
        ([1, 2] * 6, ("1", "2"), "labels are 1 to 2, 2 in all"),
        ([2**40, 2**40 + 1] * 6, ("1099511627776", "1099511627777"), "2 in all"),
        ([0, 1, 3] * 4, ("0", "1", "3"), "labels are 0 to 3, 3 in all"),
        ([0.0, 1.0] * 6, ("0", "1"), "seed 0"),
        ([True, False] * 6, ("False", "True"), "seed 0"),
        (["b", "a"] * 6, ("a", "b"), "seed 0"),
        ([b"b", b"a"] * 6, ("a", "b"), "seed 0"),
        (pa.array([2**64 - 1, 5] * 6, pa.uint64()), ("5", str(2**64 - 1)), "2 in all"),
        (pa.array(["b", "a"] * 6).dictionary_encode(), ("a", "b"), "seed 0"),
        (["a\0", "a"] * 6, ("a", "a\0"), "seed 0"),
    ],
)
def test_labels(tmp_path: Path, labels: Any, classes: tuple[str, ...], said: str) -> None:
    data = open_data(image_table(tmp_path / "a.parquet", labels))
    assert data.classes == classes
    assert data.split.endswith(said)
    stored = labels.to_pylist() if isinstance(labels, pa.Array) else labels
    values = sorted(set(stored))
    for part in (data.train, data.test):
        for index, label in enumerate(part.labels):
            row = int(part.name(index).split()[1]) if part is data.train else None
            if row is not None and row < len(stored):
                assert 0 <= label < len(values)
    assert sorted(np.bincount([*data.train.labels, *data.test.labels])) == sorted(
        stored.count(value) for value in values
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[0], [1]] * 6, r"row 0 of column label of .* must be one label, .* got \[0\]"),
        ([{"a": 1}] * 12, "must be one label"),
        ([0, -1] * 6, r"row 1 of .* must be a label from 0; got -1"),
        ([0.5, 1.0] * 6, r"must be one label, a whole number or a text; got 0\.5"),
        ([0.0, float("nan")] * 6, "row 1 of .* has no label"),
        ([float("inf"), 1.0] * 6, "must be one label"),
        ([0, None] * 6, "row 1 of .* has no label"),
        ([None] * 12, "row 0 of .* has no label"),
        (["a", ""] * 6, "row 1 of .* must be the name of a class"),
        (["a", "b" * 2000] * 6, "row 1 of .* must be the name of a class"),
        ([b"\xff", b"a"] * 6, "must be one label"),
        (list(range(12)), "every image has a label of its own"),
        ([7] * 12, "must have at least 2 classes; got 7"),
        ([], "must have at least 2 classes; got none"),
    ],
)
def test_labels_refused(tmp_path: Path, labels: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        open_data(image_table(tmp_path / "a.parquet", labels))
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([0, 1] * 4, [0, 2], "training images of every class; test images only: 2"),
        (["a", "b"] * 4, ["c"], "test images only: c"),
        ([0, 1] * 4, ["0", "1"], "must hold labels of one kind; got numbers and texts"),
        ([0, 1] * 4, [True], "must hold labels of one kind; got numbers and truth values"),
    ],
)
def test_parts_with_other_classes(
    tmp_path: Path, train: list[Any], test: list[Any], message: str
) -> None:
    image_table(tmp_path / "train.parquet", train)
    image_table(tmp_path / "test.parquet", test)
    with pytest.raises(DataError, match=message):
        open_data(tmp_path)


def test_encoded_labels() -> None:
    classes, train, test, notes = encode_labels(["b", "a"], ["b"], None, "x")
    assert (classes, train.tolist(), test.tolist(), notes[0]) == (
        ("a", "b"), [1, 0], [1], "no test images of a",
    )  # fmt: skip
    names = ["x", "y", "z"]
    assert encode_labels([1, 0], [], names, "d")[0] == ("x", "y", "z")
    assert encode_labels([1, 0], [], names, "d").notes == ("no images of z",)
    with pytest.raises(DataError, match=r"labels of d must be in 0\.\.0, .* 1 classes; got 1"):
        encode_labels([1, 0], [], ["x"], "d")
    assert read_labels([np.int8(3), 2.0, 1], "x") == [3, 2, 1]


def named_table(path: Path, labels: list[int], names: Any) -> None:
    table = pa.table({"image": [png(i) for i in range(len(labels))], "label": labels})
    about = {"info": {"features": {"label": {"names": names}}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(about)}), path)


def test_class_names(tmp_path: Path) -> None:
    named_table(tmp_path / "train.parquet", TRAIN, ["owl", "cat"])
    named_table(tmp_path / "test.parquet", TEST, ["owl", "cat"])
    assert open_data(tmp_path).classes == ("owl", "cat")
    named_table(tmp_path / "test.parquet", TEST, ["cat", "owl"])
    with pytest.raises(DataError, match="must name the same classes in both parts"):
        open_data(tmp_path)
    named_table(tmp_path / "train-1.parquet", TRAIN, ["cat", "owl"])
    with pytest.raises(DataError, match="must name the same classes as the files before it"):
        open_data(tmp_path)


@pytest.mark.parametrize("names", ["owl", 5, None, [1, 2], {"a": 1}, []])
def test_class_names_of_no_use(tmp_path: Path, names: Any) -> None:
    named_table(tmp_path / "a.parquet", TRAIN, names)
    assert open_data(tmp_path).classes == ("0", "1")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([{"path": "x"}] * 4, "must hold encoded images .* got 'struct<path: string>"),
        ([[1, 2]] * 4, "must hold encoded images .* got 'list"),
        (["a.png"] * 4, "must hold encoded images .* got 'string"),
        ([None] * 4, "must hold encoded images .* got 'null"),
    ],
)
def test_images_refused(tmp_path: Path, images: list[Any], message: str) -> None:
    pq.write_table(pa.table({"image": images, "label": [0, 1, 0, 1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        open_data(tmp_path)


def test_an_image_is_named_by_file_and_row(tmp_path: Path) -> None:
    image_table(tmp_path / "train-0.parquet", TRAIN)
    table = pa.table({"image": [png(), None], "label": [0, 1]})
    pq.write_table(table, tmp_path / "train-1.parquet")
    image_table(tmp_path / "test.parquet", TEST)
    part = open_data(tmp_path).train
    assert part.image(12).size == (8, 8)
    with pytest.raises(DataError, match=r"image 1 of .*train-1\.parquet cannot be read as an im"):
        part.image(13)


def test_a_column_twice(tmp_path: Path) -> None:
    columns = [pa.array([png()] * 4), pa.array([0, 1] * 2), pa.array([0, 1] * 2)]
    table = pa.Table.from_arrays(columns, names=["image", "label", "label"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="has 2 columns label: rename one"):
        open_data(tmp_path)


def test_images_in_both_parts(tmp_path: Path) -> None:
    """10 and 11 of 0 to 11 and 10 to 21."""
    for name, first in (("train", 0), ("test", 10)):
        table = pa.table({"image": [png(first + i) for i in range(12)], "label": TRAIN})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    said = "2 test images are also training images, as image 0 of "
    assert f"{said}{tmp_path / 'test.parquet'}" in open_data(tmp_path).split
    top = image_tree(tmp_path / "f", {"train/a": 3, "train/b": 3, "test/a": 2, "test/b": 2})
    assert "also training images" not in open_data(top).split
    (top / "test/b/0.png").write_bytes((top / "train/a/1.png").read_bytes())
    said = "1 test images are also training images, as "
    assert open_data(top).split.endswith(f"{said}{top / 'test/b/0.png'}")
