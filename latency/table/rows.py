"""Reads the rows of a table, whatever program saved them last, and refuses what is damaged.

The line of a message counts from 1, the heading.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from latency.table.family_fit import BITS
from latency.table.latency_table import COLUMNS, Measurement
from latency.table.op_model import COLUMNS as OP_COLUMNS
from space.common.text import shorten
from space.network.block import Block

Rows: TypeAlias = Sequence[tuple[int, list[str]]]  # (line, fields), the heading first
Value = TypeVar("Value")

LONGEST = 1000  # characters of a field
MOST = {"classes": 1_000_000, "fragments": 64}  # of a block's numbers; others are below 2**BITS
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_BLOCK = re.compile(r"[a-z]\w*@\d{1,5}x\d{1,5}( [a-z]\w*=-?\d{1,7})*", re.ASCII)


def split_rows(text: str) -> Rows:
    """The rows of a CSV text with any line ends and quotes; empty lines are left out.

    Raises:
        ValueError: not CSV, or a field that no table has; the message begins with the line.
    """
    reader = csv.reader(io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n"), newline=""))
    rows: list[tuple[int, list[str]]] = []
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise ValueError(f"line {line}: not CSV: {error}") from None
        if row is None:
            return rows
        for field in row:
            if len(field) > LONGEST or not field.replace("\t", "").isprintable():
                raise ValueError(
                    f"line {line}: a field must be printable and at most {LONGEST} characters "
                    f"long; got {shorten(field)}"
                )
        if row:
            rows.append((line, row))


def block_entries(rows: Rows) -> dict[Block, Measurement]:
    """The measurements in the rows of a table of blocks.

    Raises:
        ValueError: a damaged row, two of one block, or none; the message begins with the line.
    """
    _check_heading(rows, COLUMNS)

    def entry(row: list[str]) -> tuple[Block, Measurement]:
        median, q25, q75 = map(_number, COLUMNS[1:-1], row[1:-1])
        return stored_block(row[0]), Measurement(median, q25, q75, _count(row[-1]))

    return _by_key(rows, COLUMNS, entry)


def coefficients(rows: Rows) -> dict[str, float]:
    """Term -> seconds per unit, in the rows of an op cost model.

    Raises:
        ValueError: a damaged row, two of one term, or none; the message begins with the line.
    """
    _check_heading(rows, OP_COLUMNS)
    return _by_key(rows, OP_COLUMNS, lambda row: (row[0], _number(OP_COLUMNS[1], row[1])))


def _by_key(
    rows: Rows, columns: Sequence[str], read: Callable[[list[str]], tuple[object, Value]]
) -> dict:
    found: dict[object, Value] = {}
    for line, row in rows[1:]:
        try:
            if len(row) != len(columns):
                raise ValueError(f"must have {len(columns)} fields; got {len(row)}")
            key, value = read(row)
            if key in found:
                raise ValueError(f"{key} appears twice")
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from None
        found[key] = value
    if not found:
        raise ValueError("line 2: must have at least one row")
    return found


def _check_heading(rows: Rows, columns: Sequence[str]) -> None:
    heading = rows[0][1] if rows else []
    if tuple(heading) == tuple(columns):
        return
    for name, mark in (("semicolons", ";"), ("tabs", "\t")):
        if mark.join(columns) in ",".join(heading):
            raise ValueError(
                f"line 1: columns must be separated by commas, not {name}: save the file as CSV "
                "with commas and decimal points"
            )
    raise ValueError(f"line 1: columns must be {','.join(columns)}; got {shorten(heading)}")


def _number(name: str, text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"`{name}` must be a number; got {shorten(text)}")
    return float(text)


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise ValueError(f"`n` must be an integer from 1 to 999999999; got {shorten(text)}")
    return int(text)


def stored_block(text: str) -> Block:
    """The block of a text in a table: `Block.parse`, but only of what `str` writes and a family
    can hold, since lowering a block takes time and memory in proportion to its numbers.

    Raises:
        ValueError: another text, or a number out of range.
    """
    if not _BLOCK.fullmatch(text):
        raise ValueError(f"`block` must be like 'kind@HxW name=value ...'; got {shorten(text)}")
    for name, value in re.findall(r"(\w+)=(-?\d+)", text):
        if not 0 <= int(value) <= (most := MOST.get(name, 2**BITS - 1)):
            raise ValueError(f"`{name}` must be from 0 to {most}; got {value} in {shorten(text)}")
    return Block.parse(text)
