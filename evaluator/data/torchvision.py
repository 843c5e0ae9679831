"""torchvision's data sets by name: torchvision:CIFAR10, torchvision:MNIST:FOLDER."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluator.data.dataset import Dataset, Part, class_names, digest, split
from evaluator.data.open import TORCHVISION
from space.common.errors import DataError
from space.common.files import cache_dir

if TYPE_CHECKING:
    from PIL.Image import Image

SPLITS = (("train", "test"), ("train", "val"), ("trainval", "test"))


def open_torchvision(text: str, *, seed: int, held_out: float, download: bool) -> Dataset:
    """The data set torchvision:NAME[:FOLDER]; the folder is `$G4NAS_CACHE`/torchvision by default.

    Raises:
        DataError: torchvision has none of this name, or it is not in the folder.
    """
    name, _, folder = text.removeprefix(TORCHVISION).partition(":")
    root = Path(folder) if folder else cache_dir() / "torchvision"
    try:
        from torchvision import datasets
    except ModuleNotFoundError:
        raise DataError(
            f"{text} needs torchvision, which is not installed: pip install torchvision"
        ) from None
    if name not in datasets.__all__:
        raise DataError(f"torchvision has no data set {name!r}; some are CIFAR10, MNIST, Food101")
    train, test = _both(getattr(datasets, name), root, download, text)
    labels = _labels(train, text)
    away = _labels(test, text) if test is not None else []
    names, found = class_names(labels + away)
    stated = getattr(train, "classes", None)
    if stated and len(stated) >= len(names):
        names = tuple(str(n) for n in stated)
    part = _part(train, found[: len(labels)], f"{name} train")
    if test is not None:
        away_part = _part(test, found[len(labels) :], f"{name} test")
        return Dataset(text, names, part, away_part, "torchvision's own")
    kept, held, told = split(part, len(names), seed=seed, held_out=held_out)
    return Dataset(text, names, kept, held, told)


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
            try:
                return kind(split=first, **options), kind(split=second, **options)
            except ValueError:  # torchvision's word for a split that it does not have
                continue
        raise DataError(f"{text}: its splits are none of train, trainval, val, test")
    except (RuntimeError, OSError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{text} cannot be read from {root}: {reason}. Put it there, or give --download"
        ) from None


def _labels(data: Any, text: str) -> list[Any]:
    for name in ("targets", "labels", "_labels"):
        values = getattr(data, name, None)
        if values is not None and len(values) == len(data):
            return np.asarray(values).tolist()
    samples = getattr(data, "samples", None) or getattr(data, "_samples", None)
    if samples is not None and len(samples) == len(data):
        return [label for _, label in samples]
    raise DataError(f"{text} tells no labels without decoding every image: use a folder instead")


def _part(data: Any, labels: np.ndarray, what: str) -> Part:
    def load(index: int) -> Image:
        return data[index][0]

    return Part(
        np.asarray(labels, dtype=np.int64),
        load,
        lambda index: f"image {index} of {what}",
        digest([what, repr(data), labels.tolist()]),
    )
