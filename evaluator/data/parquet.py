"""Images in a column of parquet files: their encoded bytes, or a struct that holds them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.data.dataset import Part, ReadParts, digest, encode_labels
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
    images, labels, names = _read(train, image, label)
    other_images, other_labels, _ = _read(test, image, label) if test else ([], [], None)
    classes, encoded, other_encoded = encode_labels(labels, other_labels, names)
    part = _part(train, images, encoded)
    if not test:
        return ReadParts(classes=classes, train=part)
    other = _part(test, other_images, other_encoded)
    how = f"{len(train)} and {len(test)} files"
    return ReadParts(classes=classes, train=part, test=other, split=how)


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
            chosen = [_column(file, names, *each) for each in _choices(image, label)]
            table = parquet.read_table(file, columns=sorted(set(chosen)))
        except (pyarrow.ArrowException, OSError) as error:
            first = str(error).splitlines()[0]
            raise DataError(f"{file} cannot be read as parquet: {first}") from None
        column = table.column(chosen[0])
        if pyarrow.types.is_struct(column.type):
            column = pyarrow.compute.struct_field(column, "bytes")
        if not (
            pyarrow.types.is_binary(column.type) or pyarrow.types.is_large_binary(column.type)
        ):
            raise DataError(
                f"column {chosen[0]} of {file} must hold encoded images (bytes, or a struct with "
                f"bytes); got {column.type}"
            )
        images += list(column)
        labels += table.column(chosen[1]).to_pylist()
        stated = stated or _class_names(table.schema.metadata, chosen[1])
    if any(value is None for value in labels):
        raise DataError(f"{files[0]}: row {labels.index(None)} has no label")
    return images, labels, stated


def _choices(
    image: str | None, label: str | None
) -> tuple[tuple[str, str | None, tuple[str, ...]], ...]:
    return (("--image-column", image, IMAGES), ("--label-column", label, LABELS))


def _column(
    file: Path, names: list[str], option: str, named: str | None, usual: tuple[str, ...]
) -> str:
    found = [name for name in ((named,) if named else usual) if name in names]
    if not found:
        missing = named or f"one of {', '.join(usual)}"
        raise DataError(f"{file} has no column {missing}; name it with {option}: {names}")
    return found[0]


def _class_names(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...] | None:
    """The class names in the metadata that the datasets library writes, if it did."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(features[label]["names"])
    except (KeyError, TypeError, ValueError):
        return None


def _part(files: list[Path], images: list[Any], labels: np.ndarray) -> Part:
    def load(index: int) -> Image:
        from PIL import Image

        return Image.open(io.BytesIO(images[index].as_py() or b""))

    listing = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    where = ", ".join(str(file) for file in files[:3])
    return Part(
        np.asarray(labels, dtype=np.int64),
        load,
        lambda index: f"image {index} of {where}",
        digest([listing, labels.tolist()]),
    )
