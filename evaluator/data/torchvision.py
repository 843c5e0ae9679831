"""torchvision's data sets by name: torchvision:CIFAR10, torchvision:MNIST:FOLDER."""

from __future__ import annotations

import inspect
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from evaluator.data.dataset import Ints, Part, ReadParts, digest, encode_labels
from space.common.errors import DataError, NoAnswerError
from space.common.files import cache_dir

TORCHVISION = "torchvision:"
SPLITS = (("train", "test"), ("train", "val"), ("trainval", "test"))


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
    if name not in datasets.__all__:
        raise DataError(f"torchvision has no data set {name!r}; some are CIFAR10, MNIST, Food101")
    train, test = _both(getattr(datasets, name), root, download, text)
    stored, other_stored = (_labels(each, text) if each else [] for each in (train, test))
    names = getattr(train, "classes", None)
    classes, labels, other_labels = encode_labels(stored, other_stored, names)
    return ReadParts(
        classes,
        _part(train, labels, f"{name} train"),
        _part(test, other_labels, f"{name} test") if test is not None else None,
        "torchvision's own",
    )


def _both(kind: Any, root: Path, download: bool, text: str) -> tuple[Any, Any]:
    """Training and test data sets; the latter None where torchvision has no split."""
    known = inspect.signature(kind).parameters
    options: dict[str, Any] = {"root": str(root)}
    if "download" in known:
        options["download"] = download
    try:
        if "train" in known:
            return kind(train=True, **options), kind(train=False, **options)
        if "split" not in known:
            return kind(**options), None
        for first, second in SPLITS:
            with suppress(ValueError):  # it has no such split
                return kind(split=first, **options), kind(split=second, **options)
        raise DataError(f"{text}: its splits are none of train, trainval, val, test")
    except (RuntimeError, OSError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{text} cannot be read from {root}: {reason}. Put it there, or use --download"
        ) from None


def _labels(data: Any, text: str) -> list[Any]:
    for name in ("targets", "labels", "_labels"):
        values = getattr(data, name, None)
        if values is not None and len(values) == len(data):
            return np.asarray(values).tolist()
    samples = getattr(data, "samples", None) or getattr(data, "_samples", None)
    if samples is not None and len(samples) == len(data):
        return [label for _, label in samples]
    raise DataError(f"{text} has no labels but in its images: use a folder of images instead")


def _part(data: Any, labels: Ints, what: str) -> Part:
    return Part(
        labels,
        lambda index: data[index][0],
        lambda index: f"image {index} of {what}",
        digest([what, repr(data), labels.tolist()]),
    )
