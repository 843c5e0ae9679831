"""The cache of decoded images: a full disk, damage, and files that only look the same."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluator.data.cache import decoded
from evaluator.data.open import open_data
from tests.helpers.images import image_tree


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writes beyond `size` bytes of a file fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("reserves", [True, False])
def test_a_full_disk(tmp_path: Path, reserves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not reserves:
        monkeypatch.delattr(os, "posix_fallocate")
    part = open_data(image_tree(tmp_path / "d", {"cat": 20, "dog": 20})).train
    with largest_file(2000), pytest.raises(OSError, match="File too large") as raised:
        decoded(part, 8, folder=tmp_path / "cache")
    assert str(raised.value.filename).startswith(str(tmp_path / "cache"))
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("how", ["cut", "empty", "longer", "pixel", "header", "checksum"])
def test_a_damaged_file_is_written_anew(tmp_path: Path, how: str) -> None:
    part = open_data(image_tree(tmp_path / "d", {"cat": 5, "dog": 5})).train
    expected = np.stack([np.asarray(part.image(index)) for index in range(len(part))])
    assert np.array_equal(decoded(part, 8, folder=tmp_path / "cache"), expected)
    (path,) = (tmp_path / "cache").iterdir()
    assert np.array_equal(np.load(path), expected)  # it is a .npy
    data = bytearray(path.read_bytes())
    places = {"pixel": 200, "header": 20, "checksum": len(data) - 1}
    if how in places:
        data[places[how]] ^= 1
    sizes = {"cut": len(data) // 2, "empty": 0, "longer": len(data)}
    path.write_bytes(bytes(data[: sizes.get(how, len(data))]) + b"x" * (how == "longer"))
    assert np.array_equal(decoded(part, 8, folder=tmp_path / "cache"), expected)
    assert np.array_equal(np.load(path), expected)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_other_files_of_the_same_size_and_time(tmp_path: Path) -> None:
    """BMPs of one size have one file size; a copy may keep the time."""
    for folder, value in (("a", 10), ("b", 200)):
        image_tree(tmp_path / folder, {"cat": 0, "dog": 0})
        for name in ("cat/0", "cat/1", "dog/0", "dog/1"):
            path = tmp_path / folder / f"{name}.bmp"
            Image.new("RGB", (8, 8), (value,) * 3).save(path)
            os.utime(path, (1e9, 1e9))
    parts = [open_data(tmp_path / folder).train for folder in "ab"]
    assert parts[0].key == parts[1].key
    means = [decoded(part, 8, folder=tmp_path / "cache").mean() for part in parts]
    assert means == [10, 200]
    for path in (tmp_path / "a").rglob("*.bmp"):  # the same files, written anew
        Image.new("RGB", (8, 8), (99,) * 3).save(path)
        os.utime(path, (1e9, 1e9))
    assert decoded(open_data(tmp_path / "a").train, 8, folder=tmp_path / "cache").mean() == 99


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    part = open_data(image_tree(tmp_path / "d", {"cat": 5, "dog": 5})).train
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/.e28b8ce3ac6ae077-8.0a1b2c3d.part.npy").write_bytes(b"\0" * 100)
    decoded(part, 8, folder=tmp_path / "cache")
    assert [path.name.startswith(".") for path in (tmp_path / "cache").iterdir()] == [False]
