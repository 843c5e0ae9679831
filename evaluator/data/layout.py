"""Which folders of a tree hold the parts of a data set, by their names and what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, NoReturn

from evaluator.data.names import TEST, TRAIN, VALIDATION, SplitName, split_name
from evaluator.data.tree import FileTree
from space.common.errors import DataError

Named = tuple[FileTree, SplitName]
DEEPEST_SPLIT = 3  # folders above train/


class Layout(NamedTuple):
    """The folders of the parts, each with a folder a class; `test` None: there is none. `spare`:
    test images that are not used, because there is a validation part to choose on."""

    train: FileTree
    test: FileTree | None = None
    spare: FileTree | None = None


def find_layout(top: FileTree) -> Layout:
    """The folders named like splits, at the top or down to 3 levels below; without such, the class
    folders are at the top.

    Raises:
        DataError: names leave open what is meant; the message asks.
    """
    level = [top]
    for _ in range(DEEPEST_SPLIT + 1):
        found = {x.train.real: x for x in map(_parts_in, level) if x is not None}
        if len(found) > 1:
            places = " and ".join(x.train.path for x in found.values())
            raise DataError(f"--data must have one training part; got {places}: name one of them")
        if found:
            (layout,) = found.values()
            break
        level = [child for folder in level for child in folder.folders if child.count]
    else:
        layout = Layout(top)
    for part in (layout.train, layout.test):
        for folder in part.folders if part else ():
            _check_class(folder)
    return layout


def _parts_in(folder: FileTree) -> Layout | None:
    """The parts whose folders lie in `folder`; None if none do."""
    named = _named(folder)
    for child, name in named:
        if name.several and name.plain and child.count:
            _ask(folder, [child], "names more than one split")
    named = [(child, name) for child, name in named if name.part]
    flat = [(child, name) for child, name in named if _is_flat(child)]
    deep = [
        (child, name)
        for child, name in named
        if not _is_flat(child) and (child.count or (name.plain and name.part == TRAIN))
    ]
    if not any(name.part == TRAIN for _, name in deep):
        _check_classes(folder, flat, [child for child, name in deep if name.plain])
        return None
    train, validation, test = (_only(folder, deep, part) for part in (TRAIN, VALIDATION, TEST))
    assert train is not None
    named_plainly = any(name.plain for _, name in deep)
    if not named_plainly and not (test or validation) and train.count < folder.count:
        _check_classes(folder, flat, [])
        return None  # a class called "bullet train" among others
    if mixed := [child for child, name in flat if name.part == TRAIN and name.plain]:
        _ask(folder, [train, *mixed], "both hold images")
    if test is None and validation is None:
        if bare := [child for child, name in named if name.plain and child is not train]:
            raise DataError(
                f"{bare[0].path} must hold a folder of images for each class, as {train.path} "
                "does; it has none. Fill it, or move it away to hold out a part of the training "
                "images"
            )
    used = validation or test
    inner = _inner(train)
    if used is None:  # with a test part, the same names in both are classes
        _check_classes(inner, [each for each in _named(inner) if each[1].part], [])
    return Layout(inner, used and _inner(used), test if validation else None)


def _check_classes(folder: FileTree, flat: Sequence[Named], deep: Sequence[FileTree]) -> None:
    """DataError if folders that would be classes are called like splits."""
    if deep:
        _ask(folder, deep, f"hold class folders, but {folder.path} has no train/ beside")
    plain = [(child, name) for child, name in flat if name.plain]
    # One class of trains, among others, is plain enough; a test/ without classes is not.
    if len(plain) > 1 or any(name.part != TRAIN for _, name in plain):
        _ask(folder, [child for child, _ in plain], "hold images, but no class folders")
    only = sum(1 for child in folder.folders if child.count) == len(flat)
    if only and len({name.part for _, name in flat}) > 1:
        _ask(folder, [child for child, _ in flat], "hold images, but no class folders")


def _ask(folder: FileTree, children: Iterable[FileTree], what: str) -> NoReturn:
    listed = ", ".join(f"{child.name}/" for child in children)
    raise DataError(
        f"{folder.path}: {listed} {what}. Rename what is a class; as parts of the data they must "
        "be train/CLASS/ and test/CLASS/"
    )


def _only(folder: FileTree, children: Sequence[Named], part: str) -> FileTree | None:
    """The one folder of a part. A plain name goes before others."""
    found = [(child, name.plain) for child, name in children if name.part == part]
    plain = [child for child, is_plain in found if is_plain]
    chosen = plain or [child for child, _ in found]
    if len(chosen) > 1:
        _ask(folder, chosen, f"are all called like a {part} part")
    return chosen[0] if chosen else None


def _inner(part: FileTree) -> FileTree:
    """The folder with the class folders: seg_train/seg_train/ is common in archives."""
    own = split_name(part.name).part
    while (
        not part.images
        and len(part.folders) == 1
        and split_name(part.folders[0].name).part == own
        and not _is_flat(part.folders[0])
    ):
        part = part.folders[0]
    inner = [(child, name) for child, name in _named(part) if name.plain and not _is_flat(child)]
    if len({name.part for _, name in inner}) > 1:
        _ask(part, [child for child, _ in inner], "are splits within a split")
    return part


def _check_class(folder: FileTree) -> None:
    """DataError if a class folder holds folders called like splits: CLASS/test/."""
    for below in folder.below():
        if below is not folder and below.count and split_name(below.name).plain:
            raise DataError(
                f"{below.path} is named like a split, and lies within the class {folder.name}: "
                "put the split above the classes, as test/CLASS/, or rename it"
            )


def _named(folder: FileTree) -> list[Named]:
    return [(child, split_name(child.name)) for child in folder.folders]


def _is_flat(folder: FileTree) -> bool:
    """Whether it holds images as a class does, not in folders."""
    return bool(folder.images) and not any(child.count for child in folder.folders)
