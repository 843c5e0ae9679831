"""Trainings on disk: JSON lines, one finished training a line, found again by what matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluator.data.dataset import digest
from space.common.jsonl import JsonLines
from space.common.schema import Anything, Flag, Integer, Items, Number, Record, Text, Values
from space.common.text import shorten

FILE = "labels.jsonl"
ROW = Record(
    {
        "key": Text(longest=100),
        "architecture": Text(longest=1000),
        "seed": Integer(0),
        "accuracy": Number(0, 100),
        "curve": Items(Number(0, 100)),
        "pruned": Flag(),
        "diverged": Flag(),
        "purpose": Text(longest=100),
        "seconds": Number(0),
        "recipe": Values(Anything()),
    },
    required=("key", "architecture", "seed", "accuracy", "curve", "pruned", "diverged"),
)


def training_key(
    architecture: str,
    recipe: dict[str, Any],
    seed: int,
    parts: Sequence[str],
    classes: Sequence[str],
) -> str:
    """The name of a training: whatever changes its result but the machine. `parts`: the keys of
    the images it is trained and tested on."""
    return digest([architecture, recipe, seed, list(parts), list(classes)])


@dataclass
class Store:
    """The trainings in a file, by key; also those of other recipes or images."""

    path: Path
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> Store:
        """Read the file, if it exists.

        Raises:
            ValueError: no regular file, or a damaged line; the message has its number.
            OSError: it cannot be read.
        """
        store = cls(path)
        if path.exists():
            with _lines(path) as lines:
                for number, row in enumerate(lines.rows, 1):
                    if not (row["diverged"] or row["curve"]):
                        raise lines.damaged(number, "`curve` must have an epoch; got none")
                    store.rows[row["key"]] = row
        return store

    def find(self, key: str, expected: Mapping[str, Any], epochs: int) -> dict[str, Any] | None:
        """The row of a training, if it is on disk.

        Args:
            expected: fields that follow from the key, as architecture, seed and recipe.
            epochs: of a training that is not stopped early.

        Raises:
            ValueError: the row is of another training than its key says.
        """
        row = self.rows.get(key)
        if row is None:
            return None
        found = len(row["curve"])
        wrong = [name for name, value in expected.items() if row.get(name, value) != value]
        if wrong:
            reason = f"`{wrong[0]}` is {shorten(row[wrong[0]])}, and another by its key"
        elif row["diverged"]:
            return row
        elif found > epochs or (found < epochs and not row["pruned"]):
            reason = f"`curve` must have {epochs} epochs; got {found}"
        elif row["accuracy"] != row["curve"][-1]:
            reason = f"`accuracy` is {row['accuracy']}, and `curve` ends at {row['curve'][-1]}"
        else:
            return row
        raise ValueError(
            f"{self.path}: the training {key} was changed: {reason}. Remove its line, and that "
            "network is trained again"
        )

    def add(self, row: dict[str, Any]) -> None:
        """Add a finished training; it is on disk when this returns. A later line of the same key
        counts.

        Raises:
            OSError: about the file.
        """
        self.rows[row["key"]] = row
        with _lines(self.path) as lines:
            lines.append(row)


def _lines(path: Path) -> JsonLines:
    advice = "remove the line, and that network is trained again"
    return JsonLines(path, what="trainings", advice=advice, spec=ROW)
