"""The check of JSON from outside: the field is named, and no value passes that must not."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from space.common.schema import (
    DEEPEST,
    Anything,
    Either,
    Flag,
    Integer,
    Items,
    Maybe,
    Number,
    Record,
    Spec,
    Text,
    Values,
    check,
    parse_json,
    read_json,
)
from tests.helpers.hostile import examples, mutated_json

HEADER = Record(
    {
        "name": Text(),
        "kind": Text(("a", "b")),
        "size": Text(pattern=r"\d+x\d+", says="HEIGHTxWIDTH"),
        "threads": Integer(1, 8),
        "error": Maybe(Number(0)),
        "times": Items(Number(0, 10), least=1, most=3),
        "versions": Values(Text()),
        "quiet": Flag(),
        "inner": Record({"x": Either((Text(), Items(Integer())))}, required=("x",)),
    },
    required=("name",),
)
VALID: dict[str, Any] = {
    "name": "n", "kind": "a", "size": "2x3", "threads": 8, "error": None, "times": [0, 1.5, 10],
    "versions": {"torch": "2"}, "quiet": True, "inner": {"x": [1]}, "later": {"field": 1},
}  # fmt: skip


def test_what_holds_is_returned() -> None:
    assert check(VALID, HEADER) is VALID


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 5}, "`name` must be a text; got 5"),
        ({"name": "x" * 10_001}, "`name` must be a text of at most 10000 characters"),
        ({"kind": "c"}, "`kind` must be one of a, b; got 'c'"),
        ({"size": "2x"}, "`size` must be HEIGHTxWIDTH; got '2x'"),
        ({"size": "2x3\n"}, "`size` must be HEIGHTxWIDTH; got '2x3"),
        ({"threads": 0}, "`threads` must be an integer from 1 to 8; got 0"),
        ({"threads": True}, "`threads` must be an integer from 1 to 8; got True"),
        ({"threads": 2.0}, "`threads` must be an integer from 1 to 8; got 2.0"),
        ({"error": -1}, "`error` must be a finite number of at least 0; got -1"),
        ({"error": math.inf}, "`error` must be a finite number of at least 0; got inf"),
        ({"error": math.nan}, "`error` must be a finite number of at least 0; got nan"),
        ({"error": 10**400}, "`error` must be a finite number of at least 0; got 1000"),
        ({"times": [1, None]}, "`times[1]` must be a finite number from 0 to 10; got None"),
        ({"times": []}, "`times` must be a list of 1 to 3 items; got []"),
        ({"times": {}}, "`times` must be a list; got {}"),
        ({"versions": []}, "`versions` must be an object; got []"),
        ({"versions": {"torch": 2}}, "`versions.torch` must be a text; got 2"),
        ({"quiet": 1}, "`quiet` must be true or false; got 1"),
        ({"inner": {}}, "`inner` must be an object with x; got {}"),
        ({"inner": {"x": ["1"]}}, "`inner.x[0]` must be an integer; got '1'"),
    ],
)
def test_the_field_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^t.json: {re.escape(message)}"):
        check(VALID | change, HEADER, source="t.json")


def test_what_is_missing_or_too_much() -> None:
    with pytest.raises(ValueError, match=r"^the content must be an object with name; got \{\}"):
        check({}, HEADER)
    with pytest.raises(ValueError, match=r"^the content must be an object of a; got 'b'"):
        check({"b": 1}, Record({"a": Anything()}, open=False))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: not JSON"),
        ('{"a":\n1,}', "line 2: not JSON"),
        (b"\xff", "byte 0 is not UTF-8"),
        ("[NaN]", "NaN is no number of JSON"),
        ("[-Infinity]", "-Infinity is no number of JSON"),
        ("9" * 5000, "not JSON: Exceeds the limit"),
        ("[" * 100_000, "nests too deep: at most 64 levels"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "nests too deep: at most 64 levels"),
    ],
)
def test_text_that_is_no_json(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=f"^t.json: .*{re.escape(message)}"):
        parse_json(text, source="t.json")


def test_marks_and_depth_that_are_right() -> None:
    assert parse_json(b"\xef\xbb\xbf[1]\r\n") == [1]
    deep = "[" * DEEPEST + "]" * DEEPEST
    assert parse_json(deep) == json.loads(deep)


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('{"name": 3}')
    with pytest.raises(ValueError, match=r"^.*/t\.json: `name` must be a text; got 3$"):
        read_json(path, HEADER)
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        read_json(tmp_path / "none.json", HEADER)


def _holds(value: Any, spec: Spec) -> bool:
    """The rules once more, by type and value; slow and plain."""
    if isinstance(spec, Record):
        return (
            isinstance(value, dict)
            and all(name in value for name in spec.required)
            and all(_holds(value[n], s) for n, s in spec.fields.items() if n in value)
        )
    if isinstance(spec, Values):
        return isinstance(value, dict) and all(_holds(v, spec.value) for v in value.values())
    if isinstance(spec, Items):
        size = isinstance(value, list) and spec.least <= len(value) <= spec.most
        return size and all(_holds(v, spec.item) for v in value)
    if isinstance(spec, Maybe):
        return value is None or _holds(value, spec.spec)
    if isinstance(spec, Either):
        return any(_holds(value, one) for one in spec.specs)
    if isinstance(spec, Flag):
        return value is True or value is False
    if isinstance(spec, Integer):
        return type(value) is int and spec.least <= value <= spec.most
    if isinstance(spec, Number):
        return type(value) in (int, float) and spec.least <= value <= min(
            spec.most, sys.float_info.max
        )
    assert isinstance(spec, Text)
    known = not spec.choices or value in spec.choices
    shape = not spec.pattern or (isinstance(value, str) and re.fullmatch(spec.pattern, value))
    return isinstance(value, str) and len(value) <= spec.longest and known and bool(shape)


@examples(300)
@given(mutated_json(json.dumps(VALID)))
def test_property_accepted_if_and_only_if_it_holds(text: bytes) -> None:
    try:
        value = parse_json(text)
    except ValueError as error:
        assert "\n" not in str(error)
        return
    try:
        check(value, HEADER)
    except ValueError as error:
        assert len(str(error)) < 500
        assert not _holds(value, HEADER)
    else:
        assert _holds(value, HEADER)


@examples(200)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_property_a_message_is_one_short_line(value: object) -> None:
    with pytest.raises(ValueError, match="must be an integer") as raised:
        check(value, Integer(3))
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 200


def test_numbers_that_need_not_be_finite() -> None:
    """A state in memory may hold a loss that overflowed; a JSON file cannot."""
    for value in (float("nan"), float("-inf"), 3, 0.5):
        assert check(value, Number(0, finite=False)) is value
    for value in (-1, "nan", True, None):
        with pytest.raises(ValueError, match="must be a number of at least 0; got"):
            check(value, Number(0, finite=False))
