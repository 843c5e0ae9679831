"""A CSV packed by xz, as others publish tables: columns of numbers within their ranges, and of
texts."""

from __future__ import annotations

import csv
import io
import lzma
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from space.common.files import check_regular
from space.common.text import shorten

Floats = NDArray[np.float64]
MOST_BYTES = 200_000_000
MOST_TEXT = 20_000
Ranges = dict[str, tuple[float, float]]
"""Column -> its least and its largest possible value; integers if these are."""


def read_packed(
    path: Path, ranges: Mapping[str, tuple[float, float]], texts: Sequence[str] = ()
) -> tuple[dict[str, Floats], dict[str, list[str]]]:
    """Column -> its numbers, of the columns in `ranges`, each within its range; and column -> its
    texts.

    Raises:
        ValueError: no CSV packed by xz, a column is missing or there twice, or a value is
            impossible; one line with the file and the line of it.
        OSError: the file cannot be read.
    """
    header, rows = _open(path)
    columns = [*ranges, *texts]
    if missing := [column for column in columns if header.count(column) != 1]:
        raise ValueError(
            f"{path}: must have the column {shorten(missing[0])} once; its columns are "
            f"{shorten(', '.join(header), 300)}"
        )
    places = {column: header.index(column) for column in columns}
    found: dict[str, list[float]] = {column: [] for column in ranges}
    words: dict[str, list[str]] = {column: [] for column in texts}
    for line, row in rows:
        for column, (least, most) in ranges.items():
            value = _number(row[places[column]])
            if not least <= value <= most or (isinstance(least, int) and value % 1):
                raise ValueError(
                    f"{path}, line {line}: `{column}` must be "
                    f"{_says(least, most)}; got {shorten(row[places[column]])}"
                )
            found[column].append(value)
        for column in texts:
            text = row[places[column]]
            if len(text) > MOST_TEXT:
                raise ValueError(
                    f"{path}, line {line}: `{column}` must be at most {MOST_TEXT} characters; "
                    f"got {len(text)}"
                )
            words[column].append(text)
    if not rows:
        raise ValueError(f"{path}: must have at least one network; got 0")
    return {column: np.array(values) for column, values in found.items()}, words


def _open(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, and the rows with the line of each; rows have as many fields."""
    check_regular(path)
    try:
        with lzma.open(path) as file:
            text = file.read(MOST_BYTES).decode("utf-8-sig")
            if file.read(1):
                raise ValueError(f"{path}: must be of at most {MOST_BYTES} bytes unpacked")
    except (lzma.LZMAError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: must be a CSV in UTF-8, packed by xz; {error}") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    rows = []
    try:
        header = next(reader, [])
        for row in reader:
            if len(row) != len(header):
                raise ValueError(
                    f"{path}, line {reader.line_num}: must have {len(header)} fields; "
                    f"got {len(row)}"
                )
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from None
    return header, rows


def _says(least: float, most: float) -> str:
    kind = "an integer" if isinstance(least, int) else "a number"
    return f"{kind} from {least:g} to {most:g}"


def _number(text: str) -> float:
    """The number in a field, NaN if there is none; yes and no are 1 and 0."""
    if text in ("True", "False"):
        return float(text == "True")
    try:
        return float(text)
    except ValueError:
        return math.nan
