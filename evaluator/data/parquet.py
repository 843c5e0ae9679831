"""Images in a column of parquet files: their encoded bytes, or a struct that holds them."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator.data.dataset import Ints, Part, ReadParts, digest
from evaluator.data.folder import stamp
from evaluator.data.image import open_image
from evaluator.data.labels import Label, encode_labels, read_labels
from evaluator.data.repeats import StoredImage, repeats_note
from evaluator.data.tables import TableParts
from evaluator.data.tree import DataFile
from space.common.errors import DataError, NoAnswerError
from space.common.schema import Items, Record, Text, check, parse_json
from space.common.text import shorten

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGES = ("image", "img", "picture", "jpg", "png", "bytes")
LABELS = ("label", "labels", "fine_label", "class", "target", "y")


@dataclass(frozen=True, eq=False)
class TableRows:
    """The rows of some files: encoded images as scalars of pyarrow, labels, how many rows are in
    each file, and the class names that the files state."""

    files: list[DataFile]
    images: list[Any] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    names: tuple[str, ...] | None = None

    def name(self, index: int) -> str:
        """Row and file of an image, in messages."""
        ends = list(accumulate(self.sizes))
        file = bisect_right(ends, index)
        row = index - (ends[file - 1] if file else 0)
        return f"image {row} of {self.files[file].path}"

    def stored(self) -> list[StoredImage]:
        """The images that are not null."""
        return [
            StoredImage(each.as_buffer().size, each.as_buffer, partial(self.name, index))
            for index, each in enumerate(self.images)
            if each.is_valid
        ]

    def part(self, labels: Ints) -> Part:
        """The rows as images with these labels."""

        def load(index: int) -> Image:
            return open_image(io.BytesIO(self.images[index].as_py() or b""))

        listing = [(Path(f.path).name, f.size, f.changed_ns) for f in self.files]
        return Part(labels, load, self.name, digest([listing, labels.tolist()]), stamp(self.files))


def read_parquet(
    parts: TableParts, where: str, *, image: str | None, label: str | None
) -> ReadParts:
    """The images of both parts.

    Args:
        where: the data set, in messages.
        image: the column of the images; None: by its usual names. `label`: of the labels.

    Raises:
        DataError: a file is damaged, a column is missing or holds something else, or files differ
            in the kind of their labels or in the names of their classes.
        NoAnswerError: pyarrow is not installed.
    """
    train = _read(parts.train, image, label)
    test = _read(parts.test, image, label)
    if test.names and train.names != test.names:
        raise DataError(
            f"{where} must name the same classes in both parts; got {shorten(train.names)} and "
            f"{shorten(test.names)}"
        )
    classes, labels, others, notes = encode_labels(train.labels, test.labels, train.names, where)
    return ReadParts(
        classes,
        train.part(labels),
        test.part(others) if parts.test else None,
        f"{len(parts.train)} and {len(parts.test)} files",
        (*parts.notes, *notes, *repeats_note(train.stored(), test.stored())),
    )


def _read(files: Sequence[DataFile], image: str | None, label: str | None) -> TableRows:
    rows = TableRows([*files])
    stated: set[tuple[str, ...] | None] = set()
    for file in files:
        images, labels, names = _read_file(file, image, label)
        rows.images.extend(images)
        rows.labels.extend(labels)
        rows.sizes.append(len(labels))
        stated.add(names)
        if len(stated) > 1:
            raise DataError(f"{file.path} must name the same classes as the files before it")
    return TableRows(rows.files, rows.images, rows.labels, rows.sizes, *stated)


def _read_file(
    file: DataFile, image: str | None, label: str | None
) -> tuple[list[Any], list[Label], tuple[str, ...] | None]:
    """(encoded images, labels, class names if the file states them)."""
    try:
        import pyarrow
        from pyarrow import compute, parquet
    except ModuleNotFoundError:
        raise NoAnswerError(
            f"{file.path}: parquet needs pyarrow, which is not installed: pip install pyarrow"
        ) from None
    path = file.path
    try:
        with parquet.ParquetFile(path) as source:
            names = source.schema_arrow.names
            image_name = _column(path, names, "--image-column", image, IMAGES)
            label_name = _column(path, names, "--label-column", label, LABELS)
            table = source.read(columns=sorted({image_name, label_name}))
        table.validate(full=True)
        column = table.column(image_name)
        if pyarrow.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
            column = compute.struct_field(column, "bytes")
        stored = table.column(label_name).to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError, LookupError) as error:
        if isinstance(error, DataError):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} cannot be read as parquet: {reason[:200]}") from None
    if not _is_binary(column.type):
        raise DataError(
            f"column {image_name} of {path} must hold encoded images (bytes, or a struct with "
            f"bytes); got {shorten(str(column.type))}"
        )
    labels = read_labels(stored, f"column {label_name} of {path} (--label-column)")
    return list(column), labels, _class_names(table.schema.metadata, label_name)


def _is_binary(kind: Any) -> bool:
    from pyarrow import types

    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )


def _column(
    path: str, names: list[str], option: str, named: str | None, usual: tuple[str, ...]
) -> str:
    for name in (named,) if named else usual:
        if names.count(name) > 1:
            raise DataError(f"{path} has {names.count(name)} columns {name}: rename one")
        if name in names:
            return name
    missing = named or f"one of {', '.join(usual)}"
    raise DataError(
        f"{path} has no column {missing}; name it with {option}: {shorten(names, 200)}"
    )


def _class_names(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...] | None:
    """The class names in the metadata that the datasets library writes, if it did."""
    spec = Record({"names": Items(Text())}, required=("names",))
    try:
        value = parse_json((metadata or {})[b"huggingface"])
        return tuple(check(value["info"]["features"][label], spec)["names"])
    except (KeyError, TypeError, ValueError):
        return None
