"""The measured benchmark on disk: a CSV with one training a row, and a JSON header beside it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from space.common.files import write_atomic

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


def header_path(path: Path) -> Path:
    return path.with_suffix(".json")


def read_rows(path: Path) -> list[TrainingRow]:
    """The rows of a benchmark.

    Raises:
        ValueError: the file is no benchmark or is damaged; names the line.
    """
    kinds = {field.name: TYPES[str(field.type)] for field in fields(TrainingRow)}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != list(kinds):
            raise ValueError(
                f"{path} must have the columns {', '.join(kinds)}: it is no benchmark"
            )
        rows = []
        for line, entry in enumerate(reader, start=2):
            try:
                values: dict[str, Any] = {name: kind(entry[name]) for name, kind in kinds.items()}
                rows.append(TrainingRow(**values))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {line} is damaged: {error}") from None
    return rows


def write_rows(path: Path, rows: Iterable[TrainingRow]) -> None:
    """Replace the file atomically."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field.name for field in fields(TrainingRow)])
    writer.writerows(astuple(row) for row in rows)
    write_atomic(path, out.getvalue())


def read_header(path: Path) -> dict[str, Any]:
    """The header beside a CSV; ValueError if it is missing or damaged."""
    beside = header_path(path)
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} must have its header {beside.name} beside it") from None
    except ValueError as error:
        raise ValueError(f"{beside} is damaged: {error}") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise ValueError(f"{beside} must be a benchmark's header of schema {SCHEMA}")
    return found


def write_header(path: Path, header: dict[str, Any]) -> None:
    text = json.dumps({"schema": SCHEMA, **header}, indent=1)
    write_atomic(header_path(path), text + "\n")
