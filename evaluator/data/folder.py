"""An ImageFolder: a folder a class, below train/ and test/ (or val/), or just below the top."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluator.data.dataset import Part, ReadParts, digest
from evaluator.data.image import open_image
from evaluator.data.labels import listed
from evaluator.data.layout import Layout, find_layout
from evaluator.data.repeats import StoredImage, repeats_note
from evaluator.data.tree import DataFile, FileTree, once
from space.common.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

Images = list[list[DataFile]]  # of each class


def read_folder(tree: FileTree) -> ReadParts:
    """The parts in a folder. With a validation part, a test part is not used: the images that are
    tested during a training also choose its best weights.

    Raises:
        DataError: a class has no images, the parts' classes differ, or names and links leave open
            what is meant.
    """
    layout = find_layout(tree)
    train, test = layout.train, layout.test
    classes = _classes(train)
    if test is not None and (others := _classes(test)) != classes:
        only = [
            f"only in {folder.name}/: {listed(sorted(names))}"
            for folder, names in ((test, {*others} - {*classes}), (train, {*classes} - {*others}))
            if names
        ]
        raise DataError(
            f"{tree.path} must have the same class folders in both parts; {'; '.join(only)}"
        )
    parts = [part for part in (train, test) if part is not None]
    images, links = _images(parts, classes)
    used = sum(len(files) for part in images for files in part)
    notes = _notes(tree, layout, used + links, links)
    found = [_part(*each) for each in zip(parts, images, strict=True)]
    if test is None:
        return ReadParts(classes, found[0], notes=notes)
    stored = [[_stored(f) for files in each for f in files] for each in images]
    notes += repeats_note(stored[0], stored[1])
    names = [f"{os.path.relpath(part.path, tree.path)}/" for part in parts]
    return ReadParts(classes, found[0], found[1], " and ".join(names), notes)


def _classes(top: FileTree) -> tuple[str, ...]:
    names = tuple(folder.name for folder in top.folders)
    if not names:
        raise DataError(
            f"{top.path} must hold a folder of images for each class; it has no folders"
        )
    if len(names) == 1:
        raise DataError(f"{top.path} must have at least 2 class folders; got only {names[0]}")
    return names


def _images(parts: Sequence[FileTree], classes: Sequence[str]) -> tuple[list[Images], int]:
    """(the images of each class in each part, by path; how many links were left out)."""
    files = [
        (file, (number, label))
        for number, part in enumerate(parts)
        for label, folder in enumerate(part.folders)
        for below in folder.below()
        for file in below.images
    ]
    kept, links = once(files, lambda place: parts[place[0]].folders[place[1]].path)
    found: list[Images] = [[[] for _ in classes] for _ in parts]
    for file, (number, label) in kept:
        found[number][label].append(file)
    for part, images in zip(parts, found, strict=True):
        for folder, own in zip(part.folders, images, strict=True):
            if not own and folder.count:
                raise DataError(
                    f"{folder.path} has no images of its own, only links to images of other "
                    "classes or parts: fill or remove it"
                )
            if not own:
                raise DataError(
                    f"{folder.path} has no images (.jpg, .png, .webp, ...): fill or remove it"
                )
            own.sort()
    return found, links


def _notes(tree: FileTree, layout: Layout, used: int, links: int) -> tuple[str, ...]:
    notes = []
    elsewhere = tree.count - used
    if layout.spare is not None:
        elsewhere -= layout.spare.count
        name = os.path.relpath(layout.spare.path, tree.path)
        notes.append(f"{name}/ is not used, neither to train nor to choose")
    if elsewhere > 0:
        notes.append(f"{elsewhere} images in other folders are not used")
    if links:
        notes.append(f"{links} links to images that count elsewhere are left out")
    parts = [part for part in (layout.train, layout.test) if part is not None]
    others = sum((below.others for part in parts for below in part.below()), start=Counter())
    if others:
        notes.append(f"{others.total()} images are not read: {', '.join(sorted(others))}")
    return tuple(notes)


def _part(top: FileTree, classes: Images) -> Part:
    images = [file for files in classes for file in files]

    def load(index: int) -> Image:
        return open_image(images[index].path)

    key = digest([(os.path.relpath(f.path, top.path), f.size, f.changed_ns) for f in images])
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in classes])
    return Part(labels, load, lambda index: images[index].path, key, stamp(images))


def _stored(file: DataFile) -> StoredImage:
    return StoredImage(file.size, Path(file.path).read_bytes, lambda: file.path)


def stamp(files: Sequence[DataFile]) -> str:
    """Of these very files: a copy of equal sizes and times has another one, and so has a file
    that was written anew and given its old time."""
    return digest([(f.real, f.size, f.changed_ns, f.inode_changed_ns) for f in files])
