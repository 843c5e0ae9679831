"""Trainings on disk: JSON lines, one finished training a line, found again by what matters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluator.data.dataset import digest
from space.common.files import write_atomic

FILE = "labels.jsonl"
NEEDED = ("key", "architecture", "seed", "accuracy", "curve", "pruned")


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
        """Read the file, if it exists; ValueError names a damaged line."""
        store = cls(path)
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                row = json.loads(line)
                if not all(name in row for name in NEEDED):
                    raise ValueError
                store.rows[str(row["key"])] = row
            except (ValueError, TypeError):
                raise ValueError(
                    f"{path}, line {number} must be a training as this program writes it; it is "
                    "not. Remove the line, and that network is trained again"
                ) from None
        return store

    def add(self, row: dict[str, Any]) -> None:
        """Add a finished training; it is on disk when this returns."""
        self.rows[row["key"]] = row
        lines = (json.dumps(each, allow_nan=False) for each in self.rows.values())
        write_atomic(self.path, "".join(f"{line}\n" for line in lines))
