"""What networks take and answer, as people type it: an input of `160x128`, channels, classes."""

from __future__ import annotations

import re

from space.common.text import shorten

SHAPE_RANGES = {"channels": (1, 1024), "classes": (1, 250_000)}


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of HEIGHTxWIDTH; ValueError if it is not of that form."""
    if not re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}", text, re.ASCII):
        raise ValueError(f"--input must be HEIGHTxWIDTH such as 224x224; got {shorten(text)}")
    height, _, width = text.partition("x")
    return int(height), int(width)
