"""The images and parquet files below a folder, as a tree without loops."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

from evaluator.data.names import is_hidden
from space.common.errors import DataError
from space.common.files import check_regular

# Those of torchvision's ImageFolder, and more that Pillow reads.
EXTENSIONS = (
    ".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp",
    ".jpe", ".jfif", ".gif", ".pbm", ".pnm", ".avif",
)  # fmt: skip
# Images that nothing here reads; they are not passed over without a word.
OTHER_IMAGES = (".heic", ".heif", ".svg", ".jxl", ".jp2", ".psd", ".dng", ".cr2", ".nef", ".tga")
TABLE = ".parquet"
DEEPEST = 64

Place = TypeVar("Place")


class DataFile(NamedTuple):
    """A file. `real`: its path without links; `linked`: a link leads to it; times in
    nanoseconds."""

    path: str
    size: int
    changed_ns: int
    inode_changed_ns: int
    real: str
    linked: bool


@dataclass(eq=False)
class FileTree:
    """A folder without what is hidden. `others`: how many images of other formats, by extension;
    `real`: its path without links."""

    name: str
    path: str
    real: str
    folders: list[FileTree] = field(default_factory=list)
    images: list[DataFile] = field(default_factory=list)
    tables: list[DataFile] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def below(self) -> Iterator[FileTree]:
        """This folder, and every folder below it."""
        yield self
        for folder in self.folders:
            yield from folder.below()

    @cached_property
    def count(self) -> int:
        """How many images are in it and below it."""
        return len(self.images) + sum(folder.count for folder in self.folders)


def read_tree(path: Path) -> FileTree:
    """The tree of a folder. A link to a folder is followed, unless that folder holds the link.

    Raises:
        DataError: a folder cannot be read, an image is a pipe, a device or a link to nothing, or
            folders nest too deep.
    """
    top = FileTree(path.name, str(path), os.path.realpath(path))
    _fill(top, (top.real,), None)
    return top


def file_state(path: Path) -> DataFile:
    """A file that the user names.

    Raises:
        ValueError: it is a folder, a pipe or a device.
        OSError: it cannot be reached.
    """
    check_regular(path)
    return _data_file(str(path), path.stat(), os.path.realpath(path), linked=False)


def once(
    files: Iterable[tuple[DataFile, Place]], describe: Callable[[Place], str]
) -> tuple[list[tuple[DataFile, Place]], int]:
    """(each file once, with its place; how many links were left out). A file that is there itself
    counts, and no link to it.

    Args:
        describe: a place in a message.

    Raises:
        DataError: links in two places lead to one file.
    """
    files = list(files)
    direct = {file.real for file, _ in files if not file.linked}
    linked: dict[str, tuple[DataFile, Place]] = {}
    kept = []
    for file, place in files:
        if file.linked:
            first, where = linked.setdefault(file.real, (file, place))
            if where != place and file.real not in direct:
                raise DataError(
                    f"{first.path} and {file.path} lead to the same file, in {describe(where)} "
                    f"and in {describe(place)}: remove one of the links"
                )
            if file.real in direct or first is not file:
                continue
        kept.append((file, place))
    return kept, len(files) - len(kept)


def _fill(folder: FileTree, above: tuple[str, ...], entered: set[str] | None) -> None:
    """Read a folder and what is below it.

    Args:
        above: the real paths of this folder and those above it.
        entered: behind a link, the real paths of the folders that it led to so far.
    """
    if len(above) > DEEPEST:
        raise DataError(f"{folder.path} is more than {DEEPEST} folders deep: move it up")
    try:
        with os.scandir(folder.path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if not is_hidden(entry.name):
                    _add(folder, entry, above, entered)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from None


def _add(
    folder: FileTree, entry: os.DirEntry[str], above: tuple[str, ...], entered: set[str] | None
) -> None:
    link = entry.is_symlink()
    real = f"{folder.real.rstrip(os.sep)}{os.sep}{entry.name}"
    if entry.is_dir():
        if link:
            real = os.path.realpath(entry.path)
            entered = set() if entered is None else entered
            # A folder that holds this one, in the tree or behind a link: nothing new is in it.
            if real in above or Path(folder.real).is_relative_to(real):
                return
        if entered is not None:
            if real in entered:
                return
            entered.add(real)
        child = FileTree(entry.name, entry.path, real)
        _fill(child, (*above, real), entered)
        folder.folders.append(child)
        return
    suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122  (a Path for each takes long)
    if suffix in OTHER_IMAGES:
        folder.others[suffix] += 1
    elif suffix in EXTENSIONS or suffix == TABLE:
        try:
            state = entry.stat()
        except FileNotFoundError:
            raise DataError(f"{entry.path} is a link to nothing: repair or remove it") from None
        if not stat.S_ISREG(state.st_mode):
            raise DataError(f"{entry.path} must be a file; it is a pipe or a device: remove it")
        real = os.path.realpath(entry.path) if link else real
        files = folder.tables if suffix == TABLE else folder.images
        files.append(_data_file(entry.path, state, real, linked=link or entered is not None))


def _data_file(path: str, state: os.stat_result, real: str, *, linked: bool) -> DataFile:
    return DataFile(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, real, linked)
