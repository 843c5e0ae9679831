"""Images in a column of parquet files: their encoded bytes, or a struct that holds them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator.data.dataset import Ints, Part, ReadParts, digest, encode_labels
from space.common.errors import DataError, NoAnswerError

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGES = ("image", "img", "picture", "jpg", "png", "bytes")
LABELS = ("label", "labels", "fine_label", "class", "target", "y")
TEST = ("test", "val", "valid")


def read_parquet(path: Path, *, image: str | None, label: str | None) -> ReadParts:
    """The parts in a file, or in a folder of files; files whose names begin with test or val are
    the test part.

    Args:
        image: the column of the images; None: by its usual names. `label`: of the labels.

    Raises:
        DataError: a column is missing, or holds something else.
        NoAnswerError: pyarrow is not installed.
    """
    files = [path] if path.is_file() else sorted(path.glob("*.parquet"))
    test = [file for file in files if file.name.lower().startswith(TEST)]
    train = [file for file in files if file not in test]
    if not train:
        raise DataError(f"{path} has no training files, only {', '.join(f.name for f in test)}")
    images, column, names = _read(train, image, label)
    other_images, other_column, _ = _read(test, image, label) if test else ([], [], None)
    classes, labels, other_labels = encode_labels(column, other_column, names)
    return ReadParts(
        classes,
        _part(train, images, labels),
        _part(test, other_images, other_labels) if test else None,
        f"{len(train)} and {len(test)} files",
    )


def _read(
    files: list[Path], image: str | None, label: str | None
) -> tuple[list[Any], list[Any], tuple[str, ...] | None]:
    """(encoded images, labels, class names if a file has them) of some files."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ModuleNotFoundError:
        raise NoAnswerError(
            f"{files[0]}: parquet needs pyarrow, which is not installed: pip install pyarrow"
        ) from None
    images: list[Any] = []
    labels: list[Any] = []
    stated: tuple[str, ...] | None = None
    for file in files:
        try:
            names = parquet.read_schema(file).names
            image_name = _column(file, names, "--image-column", image, IMAGES)
            label_name = _column(file, names, "--label-column", label, LABELS)
            table = parquet.read_table(file, columns=sorted({image_name, label_name}))
        except (pyarrow.ArrowException, OSError) as error:
            first = str(error).splitlines()[0]
            raise DataError(f"{file} cannot be read as parquet: {first}") from None
        column = table.column(image_name)
        if pyarrow.types.is_struct(column.type):
            column = pyarrow.compute.struct_field(column, "bytes")
        if column.type not in (pyarrow.binary(), pyarrow.large_binary()):
            raise DataError(
                f"column {image_name} of {file} must hold encoded images (bytes, or a struct with "
                f"bytes); got {column.type}"
            )
        images += list(column)
        labels += table.column(label_name).to_pylist()
        stated = stated or _class_names(table.schema.metadata, label_name)
    if any(value is None for value in labels):
        raise DataError(f"{files[0]}: row {labels.index(None)} has no label")
    return images, labels, stated


def _column(
    file: Path, names: list[str], option: str, named: str | None, usual: tuple[str, ...]
) -> str:
    for name in (named,) if named else usual:
        if name in names:
            return name
    missing = named or f"one of {', '.join(usual)}"
    raise DataError(f"{file} has no column {missing}; name it with {option}: {names}")


def _class_names(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...] | None:
    """The class names in the metadata that the datasets library writes, if it did."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(features[label]["names"])
    except (KeyError, TypeError, ValueError):
        return None


def _part(files: list[Path], images: list[Any], labels: Ints) -> Part:
    def load(index: int) -> Image:
        from PIL import Image

        return Image.open(io.BytesIO(images[index].as_py() or b""))

    listing = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    where = ", ".join(str(file) for file in files[:3])
    return Part(
        labels,
        load,
        lambda index: f"image {index} of {where}",
        digest([listing, labels.tolist()]),
    )
