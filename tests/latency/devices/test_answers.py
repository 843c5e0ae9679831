"""What a device answers, mutated: the right times, or one line with the device's name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.devices.answers import read_answer, read_outputs
from latency.devices.remote import RemoteSession
from latency.devices.testing import ANSWERS, HELLO, HOSTILE, UNIT
from latency.devices.transport import Lines, ended, one_line
from latency.devices.wheels import platform_tags
from latency.engines.registry import get_engine
from space.common.errors import DeviceError
from tests.helpers.hostile import examples, mutated_bytes, mutated_json

WHERE = "ssh://board"


class Scripted:
    """A transport and its stream: a device that sends these bytes, then ends."""

    where, emulation, host = WHERE, "", ""

    def __init__(self, data: bytes) -> None:
        self.data, self.closed = data, False

    def start(self) -> Scripted:
        self.lines = Lines(self.where)
        self.lines.add(self.data)
        return self

    def write(self, data: bytes) -> None:
        """Whatever is sent, the answers are these."""

    def readline(self, timeout_s: float, most_bytes: int = 10**6) -> bytes:
        line = self.lines.take(most_bytes)
        if line is None:
            raise OSError(ended(self.where, 1, b""))
        return line

    def close(self) -> None:
        self.closed = True


def times_of(data: bytes) -> Any:
    with RemoteSession(Scripted(data), get_engine("null", here=False)) as session:
        timed = session.time([(UNIT,), (UNIT, UNIT)], rounds=2)
        header = json.dumps([session.host_info, session.chip, session.versions, timed.state])
        assert all(c.isprintable() for c in header)
        return timed.times


def line_of(data: bytes) -> str:
    with pytest.raises(OSError, match=WHERE) as caught:
        times_of(data)
    line = str(caught.value)
    assert all(c.isprintable() for c in line) and len(line) < 700, line
    return line


def encoded(answers: Sequence[dict[str, Any] | bytes]) -> bytes:
    return b"".join(a if isinstance(a, bytes) else json.dumps(a).encode() + b"\n" for a in answers)


def test_honest_answers() -> None:
    np.testing.assert_array_equal(times_of(encoded(ANSWERS)), [[1e-3, 1e-3], [2e-3, 2e-3]])


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer(name: str) -> None:
    number, answer = HOSTILE[name]
    line_of(encoded([*ANSWERS[:number], answer, *ANSWERS[number + 1 :]]))


@pytest.mark.parametrize(
    ("number", "change", "told"),
    [
        (3, {"times": [1e-3, -1.0]}, r"`times[1]` must be a finite number from 1e-09 to 100000"),
        (3, {"times": [1e-3]}, "`times` must be a list of 2 to 2 items"),
        (0, HELLO | {"libc": ["glibc"]}, "`libc` must be a list of 2 to 2 items"),
        (0, HELLO | {"chip": "a\nb"}, "`chip` must be the name of a processor"),
        (1, {"absent": []}, "the worker must answer with `opened`; got {'absent': []}"),
    ],
)
def test_the_line_says_what_must_hold(number: int, change: dict[str, Any], told: str) -> None:
    assert told in line_of(encoded([*ANSWERS[:number], change, *ANSWERS[number + 1 :]]))


def test_a_refused_worker_is_ended_and_not_asked_again() -> None:
    transport = Scripted(encoded([*ANSWERS[:3], {"times": [1e-3, 0]}, *ANSWERS[3:]]))
    session = RemoteSession(transport, get_engine("null", here=False))
    with pytest.raises(DeviceError, match=r"`times\[1\]`"):
        session.time([(UNIT,), (UNIT, UNIT)], rounds=2)
    assert transport.closed
    with pytest.raises(DeviceError, match="its worker was ended: open a new session"):
        session.time([(UNIT,), (UNIT, UNIT)], rounds=2)
    session.close()


VALUES = {"shape": [2, 3], "float32": "AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/"}  # six times 1.0


def test_outputs() -> None:
    (found,) = read_outputs([VALUES], 2, WHERE)
    np.testing.assert_array_equal(found, np.ones((2, 3), np.float32))
    for change in ({"shape": [2, 4]}, {"shape": [3, 2]}, {"float32": "AACA"}, {"float32": "é"}):
        with pytest.raises(DeviceError, match=f"{WHERE}: the worker's answer: outputs"):
            read_outputs([VALUES | change], 2, WHERE)


@pytest.mark.parametrize(
    ("status", "errors", "told"),
    [
        (3, b"a\nIllegal instruction\n", "status 3: Illegal instruction"),
        (-9, b"", "signal KILL (out of memory there? use a smaller --batch)"),
        (137, b"", "signal KILL (out of memory there? use a smaller --batch)"),
        ("KILL", b"", "signal KILL (out of memory there? use a smaller --batch)"),
        (-40, b"", "signal 40"),
        (None, b"\x1b[31m\xff\r\n", "status None: [31m\ufffd"),
    ],
)
def test_how_a_worker_ended(status: int | str | None, errors: bytes, told: str) -> None:
    assert ended("x", status, errors) == f"x: the worker ended with {told}"


def test_one_line() -> None:
    assert one_line("a\x1b[2J\r\nb\u202ec") == "a [2J b c"
    assert len(one_line("x" * 10**6)) == 300 and len(one_line(b"x" * 10**6)) == 300


def test_lines_of_a_stream() -> None:
    lines = Lines("x")
    found = []
    for byte in b"ab\n\nc\nd":
        lines.add(bytes([byte]))
        while (line := lines.take(4)) is not None:
            found.append(line)
    assert found == [b"ab\n", b"\n", b"c\n"]
    lines.add(b"efgh")
    with pytest.raises(DeviceError, match=r"x: the worker's answer must be a line of at most 4"):
        lines.take(4)


@examples(200)
@given(data=st.data(), number=st.integers(0, len(ANSWERS) - 1))
def test_property_a_mutated_answer_is_right_or_one_line(data: st.DataObject, number: int) -> None:
    changed = data.draw(mutated_json(json.dumps(ANSWERS[number])))
    answers = encoded([*ANSWERS[:number], changed + b"\n", *ANSWERS[number + 1 :]])
    try:
        times = times_of(answers)
    except OSError:
        line_of(answers)
    else:
        assert times.shape == (2, 2) and (times > 0).all() and np.isfinite(times).all()


@examples(60)
@given(data=mutated_bytes(encoded(ANSWERS)))
def test_property_damaged_answers_are_right_or_one_line(data: bytes) -> None:
    try:
        times = times_of(data)
    except OSError:
        line_of(data)
    else:
        assert times.shape == (2, 2) and (times > 0).all() and np.isfinite(times).all()


@examples(40)
@given(order=st.permutations(range(len(ANSWERS))))
def test_property_answers_in_another_order(order: list[int]) -> None:
    data = encoded([ANSWERS[i] for i in order])
    right = [ANSWERS[i] for i in order] == list(ANSWERS)
    if right:
        times_of(data)
    else:
        line_of(data)


@examples(60)
@given(changed=mutated_json(json.dumps(HELLO)))
def test_property_wheels_for_any_device_that_answers(changed: bytes) -> None:
    try:
        hello = read_answer(changed, WHERE, "hello")
    except DeviceError:
        return
    try:
        tags = platform_tags(hello, WHERE) if "error" not in hello else []
    except OSError as error:
        assert str(error).startswith(WHERE)
    else:
        assert len(tags) < 200 and all(tag.replace("_", "").isalnum() for tag in tags)
