"""An ImageFolder: a folder a class, below train/ and test/ (or val/), or just below the top."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluator.data.dataset import Part, ReadParts, digest
from space.common.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

# The extensions of torchvision's ImageFolder.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
TRAIN = ("train", "training")
TEST = ("test", "val", "valid", "validation")


def read_folder(path: Path) -> ReadParts:
    """The parts in a folder. With train/, the test part is the first of test/, val/, valid/ and
    validation/.

    Raises:
        DataError: a class has no images or cannot be read, or the parts' classes differ.
    """
    if not path.is_dir():
        raise DataError(f"--data must be a folder of class folders; {path} is a file")
    train = _first(path, TRAIN)
    top = train or path
    classes = _class_folders(top)
    part = _part(top, classes)
    test = _first(path, TEST) if train else None
    if test is None:
        return ReadParts(classes, part)
    others = _class_folders(test)
    if others != classes:
        only = [
            f"only in {folder.name}/: {', '.join(sorted(names))}"
            for folder, names in ((test, {*others} - {*classes}), (top, {*classes} - {*others}))
            if names
        ]
        raise DataError(
            f"{path} must have the same class folders in both parts; {'; '.join(only)}"
        )
    return ReadParts(classes, part, _part(test, classes), f"{top.name}/ and {test.name}/")


def _first(path: Path, names: tuple[str, ...]) -> Path | None:
    return next((path / name for name in names if (path / name).is_dir()), None)


def _class_folders(top: Path) -> tuple[str, ...]:
    try:
        names = sorted(e.name for e in os.scandir(top) if e.is_dir() and e.name[0] != ".")
    except OSError as error:
        raise DataError(f"{top} cannot be read: {error.strerror}") from None
    if not names:
        raise DataError(f"{top} must hold a folder of images for each class; it has no folders")
    if len(names) == 1:
        raise DataError(f"{top} must have at least 2 class folders; got only {names[0]}")
    return tuple(names)


def _part(top: Path, classes: tuple[str, ...]) -> Part:
    images: list[tuple[str, int, int]] = []
    counts: list[int] = []
    for name in classes:
        found = _images(top / name)
        if not found:
            raise DataError(
                f"{top / name} has no images ({', '.join(EXTENSIONS)}): fill or remove it"
            )
        images += found
        counts.append(len(found))

    def load(index: int) -> Image:
        from PIL import Image

        return Image.open(images[index][0])

    key = digest([(os.path.relpath(path, top), *state) for path, *state in images])
    labels = np.repeat(np.arange(len(classes)), counts)
    return Part(labels, load, lambda index: images[index][0], key)


def _images(folder: Path) -> list[tuple[str, int, int]]:
    """(path, bytes, time of change in nanoseconds) of every image below a folder, sorted."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from None

    found = []
    for where, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders.sort()
        for name in names:
            if name.lower().endswith(EXTENSIONS):
                path = os.path.join(where, name)  # noqa: PTH118  (60,000 Paths take a second)
                state = os.stat(path)  # noqa: PTH116
                found.append((path, state.st_size, state.st_mtime_ns))
    return sorted(found)
