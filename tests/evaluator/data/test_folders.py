"""Folders as people have them: which images of which class are in which part, or what is asked."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from evaluator.data.names import is_hidden, split_name
from evaluator.data.open import open_data
from space.common.errors import DataError
from tests.helpers.images import class_counts, image_tree, png

CLASSES = {"cat": 3, "dog": 4}


def parts(top: Path, train: str, test: str, spare: str = "") -> Path:
    """Class folders in both parts, 3 and 4 images to train on, 2 and 2 to test on."""
    image_tree(top, {f"{train}/cat": 3, f"{train}/dog": 4, f"{test}/cat": 2, f"{test}/dog": 2})
    return image_tree(top, {f"{spare}/{name}": 1 for name in CLASSES} if spare else {})


def counted(top: Path) -> tuple[dict[str, int], dict[str, int]]:
    data = open_data(top)
    return class_counts(data.train, data.classes), class_counts(data.test, data.classes)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "train"), ("TRAIN", "train"), ("Training", "train"), ("train2017", "train"),
        ("seg_train", "train"), ("TrainImages", "train"), ("cifar-train-0", "train"),
        ("train-00000-of-00001", "train"), ("trainval", "train"), ("x.train", "train"),
        ("VAL", "validation"), ("valid", "validation"), ("Validation", "validation"),
        ("dev", "validation"), ("Test", "test"), ("testing", "test"), ("my_test_1", "test"),
        ("latest", ""), ("contest", ""), ("trainers", ""), ("Protest", ""), ("LATEST", ""),
        ("invalid", ""), ("developer", ""), ("pretest", ""), ("prétest", ""), ("strain", ""),
        ("attest", ""), ("", ""), ("train_test", ""),
    ],
)  # fmt: skip
def test_split_names(name: str, part: str) -> None:
    assert split_name(name).part == part


def test_hidden_names() -> None:
    hidden = [".DS_Store", "._0.png", ".ipynb_checkpoints", "Thumbs.db", "@eaDir", "__MACOSX"]
    assert all(map(is_hidden, [*hidden, "desktop.ini", "Desktop.ini", "THUMBS.DB"]))
    assert not any(map(is_hidden, ["cat", "_0.png", "thumbs.png", "eaDir"]))


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"), ("Train", "Test"), ("Training", "Testing"), ("TRAIN", "VAL"),
        ("train", "validation"), ("train", "valid"), ("training", "dev"),
        ("data/train", "data/val"),
        ("a/b/Train", "a/b/Test"), ("seg_train/seg_train", "seg_test/seg_test"),
        ("birds-train", "birds-test"), ("train2017", "val2017"), ("TrainSet", "TestSet"),
    ],
)  # fmt: skip
def test_split_folders(tmp_path: Path, train: str, test: str) -> None:
    data = open_data(parts(tmp_path, train, test))
    assert class_counts(data.train, data.classes) == {"cat": 3, "dog": 4}
    assert class_counts(data.test, data.classes) == {"cat": 2, "dog": 2}
    assert data.split == f"{train}/ and {test}/"
    assert all(f"{os.sep}{train}{os.sep}" in data.train.name(index) for index in range(7))


def test_three_parts(tmp_path: Path) -> None:
    """Test images are neither trained on nor chosen on, and that is said."""
    data = open_data(parts(tmp_path, "train", "val", "test"))
    assert (len(data.train), len(data.test)) == (7, 4)
    names = [part.name(i) for part in (data.train, data.test) for i in range(len(part))]
    assert not [name for name in names if f"{os.sep}test{os.sep}" in name]
    assert data.split == "train/ and val/; test/ is not used, neither to train nor to choose"
    before = data.key
    (tmp_path / "test").rename(tmp_path.parent / f"{tmp_path.name}-away")
    assert open_data(tmp_path).key == before  # the same training


def test_a_flat_test_part_beside_validation(tmp_path: Path) -> None:
    image_tree(parts(tmp_path, "train", "val"), {"test": 5})
    data = open_data(tmp_path)
    assert (len(data.train), len(data.test)) == (7, 4)
    assert "5 images in other folders are not used" in data.split


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["Test", "Training"], r"Test/, Training/ hold images, but no class folders\. Rename"),
        (["train", "test"], r"test/, train/ hold images, but no class folders"),
        (["train", "test", "car"], r"test/, train/ hold images, but no class folders"),
        (["cat", "dog", "test"], r"test/ hold images, but no class folders"),
        (["x_train", "x_test"], r"x_test/, x_train/ hold images, but no class folders"),
        (["test/cat", "test/dog"], r"test/ hold class folders, but .* has no train/ beside"),
        (["train/a", "train/b", "Training/a", "Training/b"], "all called like a train part"),
        (["train/a", "train/b", "Training"], "train/, Training/ both hold images"),
        (["train/a", "train/b", "val/a", "val/b", "Valid/a"], "all called like a validation part"),
        (["train/a", "train/b", "test"], r"test must hold a folder of images for each class"),
        (["cat/train", "cat/test", "dog/train", "dog/test"], r"hold images, but no class folders"),
        (["x/train/a", "x/train/b", "y/train/a", "y/train/b"], "must have one training part; got"),
        (["train/a", "train/b", "train/a/test"], "named like a split, and lies within the class"),
        (["train-val/a", "train-val/b"], "names more than one split"),
        (["x_train/x_train", "x_train/test"], "hold images, but no class folders"),
        (["train/train", "train/test", "train/car"], "hold images, but no class folders"),
        (["dev", "dog", "x_train/a/b"], "dev/ hold images, but no class folders"),
        (["train/train/a", "train/train/b", "train/test/a"], "are splits within a split"),
        (["train/a", "train/b", "test/a", "test/c"], "only in test/: c; only in train/: b"),
    ],
)  # fmt: skip
def test_asked(tmp_path: Path, folders: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        open_data(image_tree(tmp_path, dict.fromkeys(folders, 3)))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "folders",
    [
        ["latest", "contest"], ["trainers", "testament"], ["bullet_train", "cat", "dog"],
        ["bicycle", "bus", "train"], ["bullet_train", "crash_test", "cat"],
        ["train/train", "train/plane", "test/train", "test/plane"],
    ],
)  # fmt: skip
def test_classes_that_look_like_splits(tmp_path: Path, folders: list[str]) -> None:
    data = open_data(image_tree(tmp_path, dict.fromkeys(folders, 3)))
    assert data.classes == tuple(sorted({folder.split("/")[-1] for folder in folders}))
    assert len(data.train) + len(data.test) == 3 * len(folders)


def test_hidden_files_and_folders(tmp_path: Path) -> None:
    parts(tmp_path, "train", "val")
    image_tree(tmp_path, {
        "train/cat/.ipynb_checkpoints": 2, "train/dog/@eaDir": 2, "train/.hidden": 2,
        "__MACOSX/train/cat": 2, ".git/x": 2, "val/$RECYCLE.BIN": 1,
    })  # fmt: skip
    for name in ("._0.png", ".x.png", "Thumbs.db", "desktop.ini", ".DS_Store"):
        (tmp_path / "train/cat" / name).write_bytes(b"\0\5\26\7Mac OS X")
    assert counted(tmp_path) == ({"cat": 3, "dog": 4}, {"cat": 2, "dog": 2})


def test_any_case_of_an_extension(tmp_path: Path) -> None:
    image_tree(tmp_path, {"train/cat": 2, "train/dog": 2})
    for name in ("a.PNG", "b.Jpg", "c.JPEG", "d.WebP", "e.GIF", "f.jfif", "g.HEIC", "h.txt"):
        (tmp_path / "train/cat" / name).write_bytes(png())
    data = open_data(tmp_path)
    assert len(data.train) + len(data.test) == 10
    assert data.split.endswith("1 images are not read: .heic")


@pytest.mark.parametrize("link", ["..", "../..", "../../..", ".", "../dog", "../../val", "/"])
def test_links_neither_loop_nor_leak(tmp_path: Path, link: str) -> None:
    top = parts(tmp_path / "top", "train", "val")
    (top / "train/cat/up").symlink_to(link)
    assert counted(top) == ({"cat": 3, "dog": 4}, {"cat": 2, "dog": 2})


def test_links_to_files_count_once(tmp_path: Path) -> None:
    parts(tmp_path, "train", "val")
    (tmp_path / "train/cat/x.png").symlink_to("../dog/0.png")
    (tmp_path / "train/cat/y.png").symlink_to("../../val/cat/0.png")
    (tmp_path / "train/cat/z.png").symlink_to("0.png")
    assert counted(tmp_path) == ({"cat": 3, "dog": 4}, {"cat": 2, "dog": 2})
    assert "3 links to images that count elsewhere are left out" in open_data(tmp_path).split


def test_linked_classes_and_parts(tmp_path: Path) -> None:
    """Links to what lies outside, or in no class, are as good as files."""
    image_tree(tmp_path / "pool", {"cats": 3, "dogs": 4, "test/cat": 2, "test/dog": 2})
    top = image_tree(tmp_path / "top", {"store": 1})
    (top / "train/dog").mkdir(parents=True)
    (top / "train/cat").symlink_to(tmp_path / "pool/cats")
    for index in range(4):
        (top / f"train/dog/{index}.png").symlink_to(tmp_path / f"pool/dogs/{index}.png")
    (top / "train/dog/in.png").symlink_to("../../store/0.png")
    (top / "test").symlink_to(tmp_path / "pool/test")
    assert counted(top) == ({"cat": 3, "dog": 5}, {"cat": 2, "dog": 2})
    (tmp_path / "other").symlink_to(top)
    assert counted(tmp_path / "other") == ({"cat": 3, "dog": 5}, {"cat": 2, "dog": 2})


def test_links_out_and_back_end(tmp_path: Path) -> None:
    """Folders outside that lead to each other are entered once."""
    image_tree(tmp_path / "out", {f"f{index}": 1 for index in range(12)})
    for one in range(12):
        for other in range(12):
            (tmp_path / f"out/f{one}/to{other}").symlink_to(tmp_path / f"out/f{other}")
    top = image_tree(tmp_path / "top", CLASSES)
    (top / "cat/out").symlink_to(tmp_path / "out")
    data = open_data(top)
    assert len(data.train) + len(data.test) == 7 + 12


@pytest.mark.parametrize(
    ("links", "message"),
    [
        ({"train/cat/a.png": "OUT", "train/dog/a.png": "OUT"}, "lead to the same file, in .*cat"),
        ({"train/cat/a.png": "OUT", "val/cat/a.png": "OUT"}, "lead to the same file, in .*train"),
        ({"train/emu": "cat", "val/emu": "cat"}, "emu has no images of its own, only links"),
        ({"train/cat/a.png": "nothing"}, r"a\.png is a link to nothing: repair or remove it"),
        ({"train/cat/a.png": "a.png"}, "cannot be read: Too many levels of symbolic links"),
    ],
)
def test_links_refused(tmp_path: Path, links: dict[str, str], message: str) -> None:
    top = parts(tmp_path / "top", "train", "val")
    (tmp_path / "out.png").write_bytes(png())
    for name, target in links.items():
        (top / name).symlink_to(tmp_path / "out.png" if target == "OUT" else target)
    with pytest.raises(DataError, match=message):
        open_data(top)


def test_a_whole_part_that_is_a_link(tmp_path: Path) -> None:
    image_tree(tmp_path, {"train/cat": 3, "train/dog": 3})
    (tmp_path / "test").symlink_to("train")
    with pytest.raises(DataError, match="test/cat has no images of its own, only links"):
        open_data(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    top = image_tree(tmp_path / "top", CLASSES)
    os.mkfifo(top / "cat/x.png")
    with pytest.raises(DataError, match=r"x\.png must be a file; it is a pipe or a device"):
        open_data(top)
    os.mkfifo(tmp_path / "pipe.parquet")
    for path in (tmp_path / "pipe.parquet", Path("/dev/zero")):
        with pytest.raises(ValueError, match=f"{path}: must be a file; it is a (pipe|device)"):
            open_data(path)
    (top / "cat/x.png").unlink()
    (top / "cat/x.png").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"x\.png must be a file"):
        open_data(top)


def test_too_deep(tmp_path: Path) -> None:
    image_tree(tmp_path, {**CLASSES, "/".join(["cat", *("d" * 70)]): 1})
    with pytest.raises(DataError, match="is more than 64 folders deep: move it up"):
        open_data(tmp_path)


def test_one_image_a_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must have at least 2 images of a class"):
        open_data(image_tree(tmp_path / "a", {"cat": 1, "dog": 1}))
    split = open_data(image_tree(tmp_path / "b", {"cat": 1, "dog": 2})).split
    assert split.endswith("1 classes have a single image, which is not tested")


def test_the_key_of_a_plain_folder_stays(tmp_path: Path) -> None:
    """Earlier checkpoints and labels hold it: names below the part, sizes and times."""
    parts(tmp_path, "train", "test")

    def digest(value: object) -> str:
        return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]

    keys = []
    for part in ("train", "test"):
        files = sorted((tmp_path / part).rglob("*.png"))
        states = [(str(f.relative_to(tmp_path / part)), f.stat()) for f in files]
        keys.append(digest([[name, s.st_size, s.st_mtime_ns] for name, s in states]))
    data = open_data(tmp_path)
    assert data.key == digest([["cat", "dog"], *keys, "train/ and test/"])


def test_no_path() -> None:
    with pytest.raises(DataError, match="or torchvision:NAME; nothing does not exist"):
        open_data("")
