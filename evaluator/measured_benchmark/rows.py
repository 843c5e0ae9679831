"""The measured benchmark on disk: a CSV with one training a row, and a JSON header beside it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from evaluator.training.recipes.recipe import SPEC
from space.common.files import read_text, write_atomic
from space.common.schema import Integer, Items, Number, Record, Text, Values, check, read_json
from space.common.text import shorten

SCHEMA = 1
SHIPPED = Path(__file__).parent / "cifar10.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """One training, a row of the file.

    Args:
        accuracy: in percent on the test part after the last step, as `loss`.
        validation: accuracy on images that were set aside; NaN if none were. What selects
            networks may look at this one only, so that the other can judge it.
        flops: of the trained network (its input, its classes), as `params`.
        flops_224: of the architecture at 224x224.
        cpu_s: processor time of training and tests; `seconds`: wall time.
    """

    name: str
    group: str
    architecture: str
    recipe: str
    seed: int
    accuracy: float
    validation: float
    loss: float
    flops: int
    params: int
    flops_224: int
    cpu_s: float
    seconds: float
    torch: str
    commit: str
    date: str

    @property
    def key(self) -> tuple[str, str, int]:
        return self.name, self.recipe, self.seed


TYPES: dict[str, Any] = {"int": int, "float": float, "str": str}
ROW = Record(
    {
        "name": Text(longest=200),
        "group": Text(longest=200),
        "architecture": Text(),
        "recipe": Text(choices=("short", "long")),
        "seed": Integer(0, 2**32 - 1),
        "accuracy": Number(0, 100),
        "validation": Number(0, 100, finite=False),
        "loss": Number(finite=False),  # NaN where the training diverged
        "flops": Integer(1),
        "params": Integer(1),
        "flops_224": Integer(1),
        "cpu_s": Number(0),
        "seconds": Number(0),
    }
)
_EPOCHS = {"epochs": Number(0.001, 10_000_000)}
_RECIPE = Record({**SPEC.fields, **_EPOCHS}, required=("epochs", "input", "batch"))
HEADER = Record(
    {
        "schema": Integer(),
        "rows": Integer(0),
        "planned": Integer(0),
        "date": Text(),
        "commit": Text(),
        "command": Text(),
        "versions": Values(Text()),
        "recipes": Record({"short": _RECIPE, "long": _RECIPE}, required=("short", "long")),
        "images": Items(Integer(0), least=2, most=3),
        "classes": Items(Text(), least=1),
        "device": Text(),
        "threads": Integer(1),
    },
    required=("schema",),
)


def header_path(path: Path) -> Path:
    return path.with_suffix(".json")


def read_rows(path: Path) -> list[TrainingRow]:
    """The rows of a benchmark.

    Raises:
        ValueError: the file is no benchmark or is damaged; names the line.
        OSError: it cannot be read.
    """
    kinds = {field.name: TYPES[str(field.type)] for field in fields(TrainingRow)}
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    found: dict[tuple[str, str, int], TrainingRow] = {}
    try:
        if next(reader, None) != list(kinds):
            raise ValueError(
                f"{path} must have the columns {', '.join(kinds)}: it is no benchmark"
            )
        for texts in reader:
            try:
                row = _row(texts, kinds)
                if row.key in found:
                    raise ValueError(f"{row.name}, {row.recipe}, seed {row.seed} is there twice")
            except ValueError as error:
                raise ValueError(f"{path}, line {reader.line_num} is damaged: {error}") from None
            found[row.key] = row
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num} is damaged: {error}") from None
    return list(found.values())


def _row(texts: list[str], kinds: dict[str, Any]) -> TrainingRow:
    if len(texts) != len(kinds):
        raise ValueError(f"must be {len(kinds)} fields; got {len(texts)}")
    values: dict[str, Any] = {}
    for (name, kind), text in zip(kinds.items(), texts, strict=True):
        try:
            # Python also reads 1_000 and the digits of other scripts.
            if kind is not str and (not text.isascii() or "_" in text):
                raise ValueError
            values[name] = kind(text)
        except ValueError:
            raise ValueError(f"`{name}` must be a number; got {shorten(text)}") from None
    return TrainingRow(**check(values, ROW))


def write_rows(path: Path, rows: Iterable[TrainingRow]) -> None:
    """Replace the file atomically."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field.name for field in fields(TrainingRow)])
    writer.writerows(astuple(row) for row in rows)
    write_atomic(path, out.getvalue())


def read_header(path: Path) -> dict[str, Any]:
    """The header beside a CSV.

    Raises:
        ValueError: it is missing or damaged; one line that names it.
        OSError: it cannot be read.
    """
    beside = header_path(path)
    try:
        found = read_json(beside, HEADER)
    except FileNotFoundError:
        raise ValueError(f"{path} must have its header {beside.name} beside it") from None
    if found["schema"] != SCHEMA:
        raise ValueError(
            f"{beside} must be a benchmark's header of schema {SCHEMA}; got {found['schema']}"
        )
    return dict(found)


def read_benchmark(path: Path) -> tuple[list[TrainingRow], dict[str, Any]]:
    """The rows of a benchmark, and their header.

    Raises:
        ValueError: as of `read_rows` and `read_header`, or the file lost some of its rows.
        OSError: a file cannot be read.
    """
    rows, header = read_rows(path), read_header(path)
    if len(rows) < header.get("rows", 0):
        raise ValueError(
            f"{path} has {len(rows)} rows of the {header['rows']} that its header "
            f"{header_path(path).name} counts: some were lost"
        )
    return rows, header


def write_header(path: Path, header: dict[str, Any]) -> None:
    text = json.dumps({"schema": SCHEMA, **header}, indent=1)
    write_atomic(header_path(path), text + "\n")
