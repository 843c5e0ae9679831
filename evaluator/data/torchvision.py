"""torchvision's data sets by name: torchvision:CIFAR10, torchvision:MNIST:FOLDER."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from evaluator.data.dataset import Ints, Part, ReadParts, digest
from evaluator.data.labels import encode_labels, read_labels
from space.common.errors import DataError, NoAnswerError
from space.common.files import cache_dir

TORCHVISION = "torchvision:"
# With three parts, that of validation is tested and chosen on.
SPLITS = (
    ("train", "val"), ("train", "valid"), ("train", "test"), ("trainval", "test"),
    ("train-standard", "val"),
)  # fmt: skip
# Readers of any folder, which know nothing of its parts.
FOLDERS = ("ImageFolder", "DatasetFolder")
BASES = ("VisionDataset",)
# What torchvision raises on files that are missing or damaged.
DAMAGE = (
    RuntimeError, OSError, TypeError, ValueError, LookupError, AssertionError, EOFError,
    AttributeError, ImportError, ArithmeticError,
)  # fmt: skip


def read_torchvision(text: str, *, download: bool) -> ReadParts:
    """The parts of torchvision:NAME[:FOLDER]; the folder is `$G4NAS_CACHE`/torchvision by default.

    Raises:
        DataError: torchvision has no data set of this name, or the folder does not hold it.
        NoAnswerError: torchvision is not installed.
    """
    name, _, folder = text.removeprefix(TORCHVISION).partition(":")
    root = Path(folder) if folder else cache_dir() / "torchvision"
    try:
        from torchvision import datasets
    except ModuleNotFoundError:
        raise NoAnswerError(
            f"{text} needs torchvision, which is not installed: pip install torchvision"
        ) from None
    if name in FOLDERS:
        raise DataError(f"{text}: give the folder itself, without torchvision:{name}:")
    kind = getattr(datasets, name) if name in datasets.__all__ else None
    if kind is None or name in BASES or "root" not in inspect.signature(kind).parameters:
        raise DataError(f"torchvision has no data set {name!r}; some are CIFAR10, MNIST, Food101")
    train, test, notes = _both(kind, root, download, text)
    stored, other_stored = (
        read_labels(_labels(each, text), text) if each else [] for each in (train, test)
    )
    names = tuple(str(each) for each in getattr(train, "classes", None) or ())
    if any(isinstance(each, int) and each >= len(names) for each in (*stored, *other_stored)):
        names = ()  # of something else
    classes, labels, other_labels, more = encode_labels(stored, other_stored, names, text)
    return ReadParts(
        classes,
        _part(train, labels, f"{name} train", root),
        _part(test, other_labels, f"{name} test", root) if test is not None else None,
        "torchvision's own",
        (*notes, *more),
    )


def _both(kind: Any, root: Path, download: bool, text: str) -> tuple[Any, Any, tuple[str, ...]]:
    """Training and test data sets, the latter None where torchvision has no split, and notes."""
    try:
        known = inspect.signature(kind).parameters
        options: dict[str, Any] = {"root": str(root)}
        if "download" in known:
            options["download"] = download
        if "train" in known:
            return kind(train=True, **options), kind(train=False, **options), ()
        if "split" not in known:
            return kind(**options), None, ()
        for first, second in SPLITS:
            pair = [_split(kind, name, options) for name in (first, second)]
            if None not in pair:
                return pair[0], pair[1], _spare(kind, second, options)
    except DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{text} cannot be read from {root}: {reason}. Put it there, or use --download"
        ) from None
    raise DataError(f"{text}: its splits are none of train, trainval, val, test")


def _split(kind: Any, name: str, options: dict[str, Any]) -> Any:
    """One part of a data set; None if it has no part of this name."""
    try:
        return kind(split=name, **options)
    except ValueError as error:
        if "nknown value" in str(error):
            return None
        raise


def _spare(kind: Any, used: str, options: dict[str, Any]) -> tuple[str, ...]:
    with suppress(*DAMAGE):
        if used != "test" and _split(kind, "test", options) is not None:
            return (f"train and {used}; test is not used, neither to train nor to choose",)
    return ()


def _labels(data: Any, text: str) -> list[Any]:
    for name in ("targets", "labels", "_labels"):
        values = getattr(data, name, None)
        if values is not None and len(values) == len(data):
            return list(np.asarray(values).tolist())
    samples = getattr(data, "samples", None) or getattr(data, "_samples", None)
    if samples is not None and len(samples) == len(data):
        return [label for _, label in samples]
    raise DataError(f"{text} has no labels but in its images: use a folder of images instead")


def _part(data: Any, labels: Ints, what: str, root: Path) -> Part:
    return Part(
        labels,
        lambda index: data[index][0],
        lambda index: f"image {index} of {what}",
        digest([what, repr(data), labels.tolist()]),
        _stamp(data, root),
    )


def _stamp(data: Any, root: Path) -> str:
    """Of the images in memory, or of the files in the folder."""
    pixels = getattr(data, "data", None)
    if hasattr(pixels, "__array__"):
        return hashlib.sha256(np.ascontiguousarray(np.asarray(pixels)).tobytes()).hexdigest()[:16]
    return digest([*_states(root)])


def _states(root: Path) -> Iterator[tuple[str, int, int, int]]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            with suppress(OSError):
                state = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118
                yield name, state.st_size, state.st_mtime_ns, state.st_ctime_ns
