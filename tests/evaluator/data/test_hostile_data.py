"""Property tests: random folders against a slow count, and mutated parquet files and images."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.data.image import open_image, to_rgb
from evaluator.data.open import open_data
from evaluator.train import main
from space.common.errors import DataError, NoAnswerError
from tests.helpers.hostile import examples, mutated_bytes, run_hostile
from tests.helpers.images import TINY, class_counts, image_table, png

SPLITS = [
    ("train", "test"), ("Train", "TEST"), ("training", "Testing"), ("TRAIN", "val"),
    ("x-train", "x-validation"), ("trainset", "dev"), ("seg_train", "seg_test"),
]  # fmt: skip
CLASSES = ("cat", "dog", "latest", "contest", "trainers", "Ünï", "10", "a b", "bullet train")
PREFIXES = ("", "", "data/", "a/b/")
SUFFIXES = (".png", ".PNG", ".jpg", ".JPEG", ".WebP", ".tif")
HIDDEN = ("._0.png", ".DS_Store", "Thumbs.db", ".ipynb_checkpoints/0.png", "@eaDir/0.png", "x.txt")


@dataclass
class Trees:
    """A folder to make, and what must be found in it. `files`: (path, its class, "train" or
    "test", or "" for what does not count); `links`: path -> target; `refused`: it must be."""

    files: list[tuple[str, str, str]] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    pipes: list[str] = field(default_factory=list)
    has_parts: bool = True
    refused: bool = False

    def count(self, part: str) -> dict[str, int]:
        """By class, one by one."""
        return dict(Counter(label for _, label, where in self.files if where == part))


@st.composite
def trees(draw: st.DrawFn) -> Trees:
    """A folder of two to four classes, in two parts or in none, with some of what people have."""
    tree = Trees(has_parts=draw(st.booleans()))
    names = draw(st.lists(st.sampled_from(CLASSES), min_size=2, max_size=4, unique=True))
    prefix = draw(st.sampled_from(PREFIXES)) if tree.has_parts else ""
    splits = draw(st.sampled_from(SPLITS)) if tree.has_parts else ("", "")
    tops = {
        part: f"{prefix}{split}/" for part, split in zip(("train", "test"), splits, strict=True)
    }
    if not tree.has_parts:
        tops = {"train": ""}
    for part, top in tops.items():
        for name in names:
            for index in range(draw(st.integers(2, 4))):
                inner = draw(st.sampled_from(("", "", "", "more/")))
                suffix = draw(st.sampled_from(SUFFIXES))
                tree.files.append((f"{top}{name}/{inner}{index}{suffix}", name, part))
    for kind in draw(st.lists(st.sampled_from(list(ODD)), max_size=4)):
        top, name = draw(st.sampled_from(list(tops.values()))), draw(st.sampled_from(names))
        ODD[kind](draw, tree, top, name, names)
    return tree


def hidden(draw: st.DrawFn, tree: Trees, top: str, name: str, names: list[str]) -> None:
    tree.files.append((f"{top}{name}/{draw(st.sampled_from(HIDDEN))}", "", ""))


def hidden_folder(draw: st.DrawFn, tree: Trees, top: str, name: str, names: list[str]) -> None:
    tree.files.append((f"{draw(st.sampled_from((top, '')))}.cache/{name}/0.png", "", ""))


def link_above(draw: st.DrawFn, tree: Trees, top: str, name: str, names: list[str]) -> None:
    tree.links[f"{top}{name}/up"] = draw(st.sampled_from((".", "..", "../..", "../../..", "/")))


def link_to_class(draw: st.DrawFn, tree: Trees, top: str, name: str, names: list[str]) -> None:
    tree.links[f"{top}{name}/other"] = f"../{draw(st.sampled_from(names))}"


def link_to_image(draw: st.DrawFn, tree: Trees, top: str, name: str, names: list[str]) -> None:
    path, *_ = draw(st.sampled_from([each for each in tree.files if each[2]]))
    tree.links[f"{top}{name}/linked.png"] = os.path.relpath(path, f"{top}{name}")


def dead_link(draw: st.DrawFn, tree: Trees, top: str, name: str, names: list[str]) -> None:
    tree.links[f"{top}{name}/dead.png"] = "nowhere"
    tree.refused = True


def pipe(draw: st.DrawFn, tree: Trees, top: str, name: str, names: list[str]) -> None:
    tree.pipes.append(f"{top}{name}/pipe.png")
    tree.refused = True


def empty_class(draw: st.DrawFn, tree: Trees, top: str, name: str, names: list[str]) -> None:
    tree.folders.append(f"{top}empty")
    tree.refused = True


def class_like_a_split(
    draw: st.DrawFn, tree: Trees, top: str, name: str, names: list[str]
) -> None:
    """In a class folder, or among the classes where there are no parts."""
    tree.files.append((f"{top}{name}/test/0.png", "", ""))
    tree.refused = True


ODD = {
    each.__name__: each
    for each in (
        hidden, hidden_folder, link_above, link_to_class, link_to_image, dead_link, pipe,
        empty_class, class_like_a_split,
    )
}  # fmt: skip


@contextmanager
def made(tree: Trees) -> Iterator[Path]:
    """The folder on disk, with different images."""
    top = Path(tempfile.mkdtemp())
    try:
        for number, (name, *_) in enumerate(tree.files):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(png(number))
        for name in tree.folders:
            (top / name).mkdir(parents=True, exist_ok=True)
        for name in {*tree.pipes}:
            os.mkfifo(top / name)
        for name, target in tree.links.items():
            (top / name).symlink_to(target)
        yield top
    finally:
        shutil.rmtree(top)


@examples(60)
@given(trees())
def test_property_folders(tree: Trees) -> None:
    with made(tree) as top:
        try:
            data = open_data(top)
        except DataError as error:
            assert tree.refused, error
            assert "\n" not in str(error)
            return
        assert not tree.refused, data.split
        found = [class_counts(part, data.classes) for part in (data.train, data.test)]
        expected = [tree.count("train"), tree.count("test")]
        if tree.has_parts:
            assert found == expected
        else:
            assert dict(sum(map(Counter, found), start=Counter())) == expected[0]
        for part in (data.train, data.test):
            for index, label in enumerate(part.labels):
                assert f"/{data.classes[label]}/" in part.name(index)
                assert part.image(index).size == (8, 8)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 3), st.integers(2**40, 2**63 - 1), st.floats(),
    st.sampled_from(["cat", "dog", "", "x" * 5000, "\0", "Ü"]), st.binary(max_size=3),
    st.lists(st.integers(0, 1), max_size=2), st.fixed_dictionaries({"a": st.integers(0, 1)}),
)  # fmt: skip
IMAGES = st.one_of(
    st.just(png()), mutated_bytes(png()), st.none(), st.just("x"), st.just([1]), st.just(b""),
    st.just({"bytes": png(), "path": None}), st.just({"bytes": None, "path": "x"}),
)  # fmt: skip
LABELLINGS = st.one_of(
    st.lists(st.sampled_from([0, 1]), min_size=4, max_size=12),
    st.lists(st.sampled_from(["cat", "dog"]), min_size=4, max_size=12),
    st.lists(st.integers(0, 5), max_size=12), st.lists(VALUES, max_size=6),
)  # fmt: skip


@st.composite
def hostile_table(draw: st.DrawFn) -> pa.Table:
    """Columns of odd types and values; some are valid."""
    labels = draw(LABELLINGS)
    some = draw(st.one_of(st.just(png()), IMAGES))
    images = [some if draw(st.integers(0, 9)) else draw(IMAGES) for _ in labels]
    names = draw(st.sampled_from([("image", "label"), ("img", "y"), ("image", "other")]))
    columns = []
    for values in (images, labels):
        try:
            columns.append(pa.array(values))
        except (pa.ArrowException, TypeError, OverflowError):
            columns.append(pa.array([None] * len(values)))
    table = pa.Table.from_arrays(columns, names=names)
    text = draw(st.sampled_from([None, b"", b"{", b"5", b'{"info": {"features": {"label": 3}}}']))
    return table.replace_schema_metadata(text and {b"huggingface": text})


def read_all(path: Path) -> None:
    """Either it is refused in one line, or every image has a label, or is refused in one line."""
    try:
        data = open_data(path)
        for part in (data.train, data.test):
            assert part.labels.min() >= 0 and part.labels.max() < len(data.classes)
            for index in range(min(len(part), 20)):
                assert part.image(index).mode == "RGB"
    except (DataError, NoAnswerError) as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 2000


@examples(100)
@given(hostile_table())
def test_property_parquet_schemas(tmp_path: Path, table: pa.Table) -> None:
    pq.write_table(table, tmp_path / "a.parquet")
    read_all(tmp_path / "a.parquet")


@pytest.fixture(scope="module")
def table_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return image_table(tmp_path_factory.mktemp("t") / "a.parquet", [0, 1] * 6).read_bytes()


@examples(100)
@given(data=st.data())
def test_property_parquet_bytes(tmp_path: Path, table_bytes: bytes, data: Any) -> None:
    (tmp_path / "a.parquet").write_bytes(data.draw(mutated_bytes(table_bytes)))
    read_all(tmp_path / "a.parquet")


def encoded(form: str) -> bytes:
    import io

    from PIL import Image

    out, exif = io.BytesIO(), Image.Exif()
    exif[0x112] = 6
    image = Image.effect_noise((24, 16), 50).convert("RGB")
    image.save(out, form, **({} if form in ("GIF", "BMP", "PPM") else {"exif": exif}))
    return out.getvalue()


FORMS = [encoded(form) for form in "JPEG PNG WEBP TIFF GIF BMP PPM AVIF".split()]


@examples(200)
@given(st.sampled_from(FORMS).flatmap(mutated_bytes))
def test_property_images(data: bytes) -> None:
    import io

    try:
        assert to_rgb(lambda: open_image(io.BytesIO(data)), "x.png").mode == "RGB"
    except DataError as error:
        assert str(error).startswith("x.png ") and "\n" not in str(error)


@pytest.fixture(scope="module")
def torch_is_loaded() -> None:
    """Loading it takes seconds, which are not those of a bad folder."""
    import torchvision.datasets  # noqa: F401


@pytest.mark.slow
@pytest.mark.usefixtures("torch_is_loaded")
@examples(3)
@given(tree=trees())
def test_property_train_on_folders(
    tmp_path: Path, tree: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path / "cache"))
    out = Path(tempfile.mkdtemp(dir=tmp_path))
    with made(tree) as top:
        words = [TINY, "--data", str(top), "--out", str(out), "--input", "16", "--batch", "4"]
        words += ["--steps", "1", "--workers", "0", "--device", "cpu"]
        folders = [tmp_path / "cache", out]
        status = run_hostile(main, words, name="evaluator.train", folders=folders)
        assert status == (2 if tree.refused else 0)
