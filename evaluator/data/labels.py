"""Labels as they are stored, as indices of classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from evaluator.data.dataset import Ints
from space.common.errors import DataError
from space.common.text import shorten

LONGEST_NAME = 1000
Label = bool | int | str


class EncodedLabels(NamedTuple):
    """Names of the classes, int64 labels of both parts, and what the user must know of them."""

    classes: tuple[str, ...]
    train: Ints
    test: Ints
    notes: tuple[str, ...]


def read_labels(values: Iterable[Any], where: str) -> list[Label]:
    """Labels of a column: truth values, whole numbers from 0 or texts, all of one kind.

    Args:
        where: the column, in messages.

    Raises:
        DataError: a row has no label, several ones, or something else.
    """
    labels: list[Label] = []
    kinds: set[type] = set()
    for row, value in enumerate(values):
        if type(value) is not int and type(value) is not str:
            value = _plain(value, f"row {row} of {where}")
        if isinstance(value, int) and value < 0:
            raise DataError(
                f"row {row} of {where} must be a label from 0; got {value}. Remove such rows, if "
                "they have no label, or number the classes from 0"
            )
        if isinstance(value, str) and not 0 < len(value.strip()) <= LONGEST_NAME:
            raise DataError(
                f"row {row} of {where} must be the name of a class, of 1 to {LONGEST_NAME} "
                f"characters; got {shorten(value)}"
            )
        labels.append(value)
        kinds.add(type(value))
    check_kinds(kinds, where)
    return labels


def check_kinds(kinds: Iterable[type], where: str) -> None:
    """DataError unless all labels are of one type."""
    names = sorted({bool: "truth values", int: "numbers", str: "texts"}[kind] for kind in kinds)
    if len(names) > 1:
        raise DataError(f"{where} must hold labels of one kind; got {' and '.join(names)}")


def encode_labels(
    train: Sequence[Label], test: Sequence[Label], names: Sequence[str] | None, where: str
) -> EncodedLabels:
    """The classes of two columns. Numbers are indices of `names`, if the source has these;
    otherwise each value that occurs is a class, in sorted order.

    Args:
        where: the data set, in messages.

    Raises:
        DataError: a number has no name, or a class has test images only.
    """
    check_kinds({type(label) for part in (train, test) for label in part}, where)
    used, tested = set(train), set(test)
    values = sorted(used | tested)
    notes: list[str] = []
    if names and values and type(values[0]) is int:
        if (largest := int(values[-1])) >= len(names):
            raise DataError(
                f"labels of {where} must be in 0..{len(names) - 1}, as it names {len(names)} "
                f"classes; got {largest}"
            )
        classes = tuple(names)
        present = {*values}
        # A class that occurs nowhere keeps its place.
        without = [name for index, name in enumerate(classes) if index not in present]
        if without:
            notes.append(f"no images of {listed(without)}")
        index = {value: int(value) for value in values}
    else:
        classes = tuple(str(value) for value in values)
        index = {value: place for place, value in enumerate(values)}
        if type(values[0] if values else "") is int and values != [*range(len(values))]:
            notes.append(f"labels are {values[0]} to {values[-1]}, {len(values)} in all")
    if test:
        if only := [classes[index[value]] for value in sorted(tested - used)]:
            raise DataError(
                f"{where} must have training images of every class; test images only: "
                f"{listed(only)}"
            )
        if only := [classes[index[value]] for value in sorted(used - tested)]:
            notes.append(f"no test images of {listed(only)}")
    parts = [
        np.fromiter((index[label] for label in part), np.int64, len(part))
        for part in (train, test)
    ]
    return EncodedLabels(classes, parts[0], parts[1], tuple(notes))


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    short = [shorten(name).strip("'\"") for name in names[:most]]
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join([*short, *more])


def _plain(value: Any, where: str) -> Label:
    """A label as bool, int or str."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise DataError(f"{where} has no label: fill or remove the row")
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    if isinstance(value, bool | int | str):
        return value
    raise DataError(f"{where} must be one label, a whole number or a text; got {shorten(value)}")
