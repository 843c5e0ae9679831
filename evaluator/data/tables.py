"""Which parquet files are which part of a data set, by the names of files and folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from evaluator.data.labels import listed
from evaluator.data.names import TEST, TRAIN, VALIDATION, split_name
from evaluator.data.tree import DataFile, FileTree, once
from space.common.errors import DataError


class TableParts(NamedTuple):
    """The files of both parts, and what the user must know of the others."""

    train: list[DataFile]
    test: list[DataFile]
    notes: tuple[str, ...] = ()


def parts_of_file(file: DataFile) -> TableParts:
    """A single file is to be trained on, unless its name says that it is for tests.

    Raises:
        DataError: it says so.
    """
    name = split_name(_stem(file.path))
    if name.part in (TEST, VALIDATION):
        raise DataError(
            f"{file.path} has no training images, by its name: give the folder of all files, or "
            "rename it"
        )
    return TableParts([file], [])


def parts_of_tree(tree: FileTree) -> TableParts:
    """The parquet files of a folder by part: `train-0.parquet`, `cifar-test.parquet`,
    `train/0.parquet`. With validation files, test files are not used: what is tested during a
    training also chooses its best weights. Without training files, those of no part are it.

    Raises:
        DataError: there are no training files, or names leave open what is meant.
    """
    files = [(file, _place(file, tree)) for folder in tree.below() for file in folder.tables]
    kept, links = once(files, lambda place: f"the {place[0] or 'training'} part")
    by_part: dict[str, list[DataFile]] = {TRAIN: [], VALIDATION: [], TEST: [], "": []}
    homes: dict[str, set[str]] = {part: set() for part in by_part}
    for file, (part, home) in sorted(kept):
        by_part[part].append(file)
        homes[part].add(home)
    for part in (TRAIN, VALIDATION, TEST):
        if len(homes[part]) > 1:
            places = listed(sorted(home or "." for home in homes[part]))
            raise DataError(
                f"{tree.path} must hold one data set; {part} files are in {places}: give the "
                "folder of one of them"
            )
    train, rest = by_part[TRAIN] or by_part[""], by_part[""] if by_part[TRAIN] else []
    test = by_part[VALIDATION] or by_part[TEST]
    if not train:
        raise DataError(f"{tree.path} has no training files, only {_names(test)}")
    notes = []
    if by_part[VALIDATION] and by_part[TEST]:
        notes.append(f"{_names(by_part[TEST])} not used, neither to train nor to choose")
    if test:
        notes.append(f"trained on {_names(train)}, tested on {_names(test)}")
    if rest:
        notes.append(f"{_names(rest)} not used, as named for no part")
    if links:
        notes.append(f"{links} links to files that count elsewhere are left out")
    if tree.count:
        notes.append(f"{tree.count} images beside the parquet files are not used")
    return TableParts(train, test, tuple(notes))


def _place(file: DataFile, tree: FileTree) -> tuple[str, str]:
    """(the part of a file, the folder that its data set lies in): its own name goes first,
    then the nearest folder that is named for a part."""
    *above, name = Path(os.path.relpath(file.path, tree.path)).parts
    own = split_name(_stem(name))
    folders = [split_name(folder) for folder in above]
    named = [each for each in (own, *reversed(folders)) if each.part or each.several]
    others = {each.part for each in folders if each.plain and each.part}
    if named and (named[0].several or others - {named[0].part}):
        raise DataError(
            f"{file.path} is named for more than one part of the data (train, validation, test): "
            "rename it"
        )
    part = named[0].part if named else ""
    home = [folder for folder, each in zip(above, folders, strict=True) if not each.part]
    return part, "/".join(home) if part else ""


def _stem(path: str) -> str:
    return Path(path).stem


def _names(files: Sequence[DataFile]) -> str:
    return listed([Path(file.path).name for file in files], 2)
