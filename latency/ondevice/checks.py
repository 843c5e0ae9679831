"""Checks what a client sends: types and ranges, one line for what is wrong."""

from __future__ import annotations

import re
from typing import Any

DIGEST = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[\w.-]{1,100}", re.ASCII)


def integer(message: dict[str, Any], name: str, least: int, most: int) -> int:
    """The field `name`, an integer from `least` to `most`; ValueError if it is anything else."""
    value = message.get(name)
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"`{name}` must be an integer from {least} to {most}; got {short(value)}")
    return value


def word(message: dict[str, Any], name: str, pattern: str = r"[a-z0-9_]{1,60}") -> str:
    """The field `name`, a text that `pattern` matches as a whole; ValueError otherwise."""
    value = message.get(name)
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise ValueError(f"`{name}` must be a text like {pattern}; got {short(value)}")
    return value


def digest_of(value: Any) -> str:
    """`value`, if it is a digest; ValueError otherwise."""
    if not isinstance(value, str) or not DIGEST.fullmatch(value):
        raise ValueError(f"a digest must have 64 hexadecimal digits; got {short(value)}")
    return value


def items(message: dict[str, Any], name: str, most: int = 100_000) -> list[Any]:
    """The field `name`, a list of at most `most` values; ValueError otherwise."""
    value = message.get(name)
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"`{name}` must be a list of at most {most}; got {short(value)}")
    return value


def content(message: dict[str, Any]) -> bytes:
    """The bytes that follow a message; ValueError without any."""
    value = message.get("data")
    if not isinstance(value, bytes):
        raise ValueError("`bytes` must be the number of the bytes that follow")
    return value


def files_of(message: dict[str, Any]) -> dict[str, bytes]:
    """The bytes that follow a message, as the files of `files`: [name, size] each. ValueError if
    they are others."""
    found: dict[str, bytes] = {}
    rest = content(message)
    for item in items(message, "files", 100):
        name, size = item if isinstance(item, list) and len(item) == 2 else ("", -1)
        right = isinstance(name, str) and NAME.fullmatch(name) and type(size) is int
        if not right or name in found or not 0 <= size <= len(rest):
            raise ValueError(f"`files` must be names and sizes; got {short(item)}")
        found[name], rest = rest[:size], rest[size:]
    if rest:
        raise ValueError(f"`files` must be all that follows; {len(rest)} bytes are left")
    return found


def short(value: Any) -> str:
    """The beginning of a value's `repr`, on one line."""
    return line(repr(value)[:200], 60)


def line(text: str, longest: int = 500) -> str:
    """A text on one line, without control characters."""
    kept = "".join(c if c.isprintable() else " " for c in text[: 4 * longest])
    return " ".join(kept.split())[:longest]
