"""Rows of labels.jsonl."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def label_row(
    name: str, accuracy: float, curve: Sequence[float] | None = None, pruned: bool = False
) -> dict[str, Any]:
    """A training whose key is its architecture."""
    return {
        "key": name,
        "architecture": name,
        "seed": 0,
        "accuracy": accuracy,
        "curve": [accuracy] if curve is None else [*curve],
        "pruned": pruned,
        "diverged": False,
    }
