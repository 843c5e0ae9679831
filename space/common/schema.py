"""Checks JSON that comes from outside: its types, its sizes and its depth, field by field.

A spec says what must hold; `check` compares a value with it, `read_json` a file. Specs are data:

    HEADER = Record({"name": Text(), "threads": Integer(1, 1024)}, required=("name",))
    header = read_json(path, HEADER)
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from space.common.files import read_text
from space.common.text import shorten

DEEPEST = 64
"""No writer of this project nests deeper; the parser itself ends near 1,000."""


class Spec(Protocol):
    """What must hold of a value."""

    def check(self, value: object, where: str) -> None:
        """ValueError if `value`, the field `where`, is anything else."""


def _refuse(where: str, must: str, value: object) -> ValueError:
    name = f"`{where}`" if where else "the content"
    return ValueError(f"{name} must be {must}; got {shorten(value)}")


@dataclass(frozen=True, slots=True)
class Text:
    """A string of at most `longest` characters; one of `choices`, or one that `pattern` matches
    as a whole, if these are given. `says` describes the pattern in the message."""

    choices: tuple[str, ...] = ()
    pattern: str = ""
    says: str = ""
    longest: int = 10_000

    def check(self, value: object, where: str) -> None:
        if not isinstance(value, str):
            raise _refuse(where, self.says or "a text", value)
        if self.choices and value not in self.choices:
            raise _refuse(where, f"one of {', '.join(self.choices)}", value)
        if len(value) > self.longest:
            raise _refuse(where, f"a text of at most {self.longest} characters", value)
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise _refuse(where, self.says or f"a text like {self.pattern}", value)


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `least` to `most`: finite, or also NaN and infinities if not `finite`."""

    least: float = -math.inf
    most: float = math.inf
    finite: bool = True

    def check(self, value: object, where: str) -> None:
        must = f"a {'finite ' if self.finite else ''}number{_range(self.least, self.most)}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _refuse(where, must, value)
        try:
            number = float(value)
        except OverflowError:
            raise _refuse(where, must, value) from None
        if not self.finite and not math.isfinite(number):
            return
        if not (math.isfinite(number) and self.least <= number <= self.most):
            raise _refuse(where, must, value)


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer from `least` to `most`."""

    least: float = -math.inf
    most: float = 2**63 - 1

    def check(self, value: object, where: str) -> None:
        right = isinstance(value, int) and not isinstance(value, bool)
        if not right or not self.least <= value <= self.most:  # type: ignore[operator]
            raise _refuse(where, f"an integer{_range(self.least, self.most)}", value)


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    def check(self, value: object, where: str) -> None:
        if not isinstance(value, bool):
            raise _refuse(where, "true or false", value)


@dataclass(frozen=True, slots=True)
class Items:
    """A list of values of one spec, from `least` to `most` of them."""

    item: Spec
    least: int = 0
    most: int = 1_000_000

    def check(self, value: object, where: str) -> None:
        if not isinstance(value, list):
            raise _refuse(where, "a list", value)
        if not self.least <= len(value) <= self.most:
            raise _refuse(where, f"a list of {self.least} to {self.most} items", value)
        for index, item in enumerate(value):
            self.item.check(item, f"{where}[{index}]")


@dataclass(frozen=True, slots=True)
class Values:
    """An object whose values have one spec, with any keys or those of another spec."""

    value: Spec
    most: int = 100_000
    key: Spec | None = None

    def check(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise _refuse(where, "an object", value)
        if len(value) > self.most:
            raise _refuse(where, f"an object of at most {self.most} fields", value)
        for name, item in value.items():
            if self.key is not None:
                self.key.check(name, _below(where, "(name)"))
            self.value.check(item, _below(where, name))


@dataclass(frozen=True, slots=True)
class Record:
    """An object with known fields, of which `required` must be present.

    Fields that are not known are accepted if `open`, so that a later version can add some.
    """

    fields: Mapping[str, Spec]
    required: Sequence[str] = ()
    open: bool = True

    def check(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise _refuse(where, "an object", value)
        if missing := [name for name in self.required if name not in value]:
            raise _refuse(where, f"an object with {', '.join(missing)}", value)
        unknown = [] if self.open else [name for name in value if name not in self.fields]
        if unknown:
            known = ", ".join(self.fields)
            raise _refuse(where, f"an object of {known}", sorted(map(str, unknown))[0])
        for name, spec in self.fields.items():
            if name in value:
                spec.check(value[name], _below(where, name))


@dataclass(frozen=True, slots=True)
class Maybe:
    """null, or a value of another spec."""

    spec: Spec

    def check(self, value: object, where: str) -> None:
        if value is not None:
            self.spec.check(value, where)


@dataclass(frozen=True, slots=True)
class Either:
    """A value of one of several specs; the message is that of the last."""

    specs: tuple[Spec, ...] = field(default=())

    def check(self, value: object, where: str) -> None:
        for spec in self.specs[:-1]:
            try:
                return spec.check(value, where)
            except ValueError:
                continue
        self.specs[-1].check(value, where)


@dataclass(frozen=True, slots=True)
class Anything:
    """Any JSON value."""

    def check(self, value: object, where: str) -> None:
        """Accept it."""


def check(value: object, spec: Spec, *, source: str = "") -> Any:
    """`value`, if it is what `spec` says.

    Args:
        source: the file or device that the value comes from; the message begins with it.

    Raises:
        ValueError: it is not; the message has source, field, what must hold and what we got.

    Example:
        >>> check({"threads": 0}, Record({"threads": Integer(1)}), source="t.json")
        Traceback (most recent call last):
        ...
        ValueError: t.json: `threads` must be an integer of at least 1; got 0
    """
    try:
        spec.check(value, "")
    except ValueError as error:
        raise ValueError(f"{source}: {error}" if source else str(error)) from None
    return value


def parse_json(text: str | bytes, *, source: str = "") -> Any:
    """The value in a text, which may begin with a byte-order mark.

    Raises:
        ValueError: not JSON, not UTF-8, nested more than 64 deep, or NaN or Infinity in place of a
            number; the message has `source` and the line.
    """
    where = f"{source}: " if source else ""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        value = json.loads(text.removeprefix("\ufeff"), parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}byte {error.start} is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}line {error.lineno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise ValueError(f"{where}nests too deep: at most {DEEPEST} levels") from None
    except ValueError as error:  # a number of thousands of digits, or no number
        raise ValueError(f"{where}not JSON: {str(error).partition(';')[0]}") from None
    if _deeper(value, DEEPEST):
        raise ValueError(f"{where}nests too deep: at most {DEEPEST} levels")
    return value


def read_json(path: Path, spec: Spec, *, most_bytes: int = 100_000_000) -> Any:
    """The value in a file, if it is what `spec` says.

    Raises:
        ValueError: it is not, or the file is not a regular file, not JSON, or too large; one line
            that begins with the file.
        OSError: it cannot be read.
    """
    source = str(path)
    return check(
        parse_json(read_text(path, most_bytes=most_bytes), source=source), spec, source=source
    )


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _deeper(value: object, levels: int) -> bool:
    """Whether it nests deeper; level by level, since a walk of calls would end like the parser."""
    row: list[Any] = [value]
    for _ in range(levels + 1):
        row = [item for item in row if isinstance(item, dict | list)]
        if not row:
            return False
        row = [x for item in row for x in (item.values() if isinstance(item, dict) else item)]
    return True


def _below(where: str, name: object) -> str:
    inner = shorten(name).strip("'") if isinstance(name, str) else str(name)
    return f"{where}.{inner}" if where else inner


def _range(least: float, most: float) -> str:
    if math.isinf(least):
        return "" if most in (math.inf, 2**63 - 1) else f" of at most {_plain(most)}"
    if most in (math.inf, 2**63 - 1):
        return f" of at least {_plain(least)}"
    return f" from {_plain(least)} to {_plain(most)}"


def _plain(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
