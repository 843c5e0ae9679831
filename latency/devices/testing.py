"""The contracts of sessions, for the tests of whoever adds a way to reach a device.

    class TestMyDevice(SessionContract):
        def open_session(self, threads=1):
            return RemoteSession(MyTransport(), get_engine("null", threads=threads, here=False))

    class TestItsAnswers(AnswersContract):
        def open_worker(self, program):
            return RemoteSession(MyTransport(python=program), get_engine("null", here=False))

Run it with pytest, which collects the inherited tests.
"""

from __future__ import annotations

import json
import tempfile
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latency.devices.session import Session
from latency.engines.null import RUN_S, block_s
from latency.ondevice.server import PROTOCOL
from space.common.errors import DroppedError
from space.network.block import Block, Chain
from space.zoo.families import shufflenet_v2

UNIT = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)
CHAINS: tuple[Chain, ...] = ((UNIT,), (UNIT, UNIT), shufflenet_v2("0.5", 64, 64).blocks)


class SessionContract(ABC):
    """What every session does, shown with the engine null, whose times are exact."""

    @abstractmethod
    def open_session(self, threads: int = 1) -> Session:
        """A session with the engine null, float32."""

    def test_identifies_itself(self) -> None:
        with self.open_session(threads=2) as session:
            assert (session.engine, session.engine_version) == ("null", "1")
            assert (session.threads, session.dtype) == (2, "float32")
            assert session.where and session.chip and session.host
            assert session.host_info["machine"] and isinstance(session.emulation, str)
            assert all(isinstance(version, str) for version in session.versions.values())

    def test_times_are_the_engines(self) -> None:
        with self.open_session(threads=2) as session:
            timed = session.time(CHAINS, batch=3, rounds=4)
        works = [3 * sum(map(block_s, chain)) / 2 for chain in CHAINS]
        np.testing.assert_allclose(timed.times, [[RUN_S + work] * 4 for work in works])
        assert timed.wall_s >= timed.prepare_s >= 0 and timed.processor_s >= 0

    def test_job_after_job(self) -> None:
        with self.open_session() as session:
            for count in (1, 2, 1):
                times = session.time([(UNIT,) * count], rounds=1, steady=True).times
                np.testing.assert_allclose(times, [[RUN_S + count * block_s(UNIT)]])

    def test_one_chain_twice_in_a_job(self) -> None:
        with self.open_session() as session:
            first, second = session.time([(UNIT,), (UNIT,)], rounds=1, steady=[True, False]).times
        np.testing.assert_allclose(first, second)


FACTS = {"machine": "aarch64", "system": "Linux 6.1"}
HELLO: dict[str, Any] = {
    "hello": PROTOCOL, "chip": "a chip", "host": "0" * 12, "facts": FACTS, "state": {},
    "emulation": "", "python": "3.11.2", "machine": "aarch64", "system": "Linux",
    "libc": ["glibc", "2.36"], "free_bytes": 10**9,
}  # fmt: skip
OPENED: dict[str, Any] = {
    "opened": {"version": "1", "versions": {}, "affinity": [0], "facts": FACTS}
}
TIMED: dict[str, Any] = {
    "timed": {"wall_s": 2.0, "processor_s": 1.0, "prepare_s": 0.5, "state": {}}
}
# The answers of an honest server to a session that times two chains in two rounds.
ANSWERS: tuple[dict[str, Any], ...] = (
    HELLO, OPENED, {"absent": []}, {"times": [1e-3, 2e-3]}, {"times": [1e-3, 2e-3]}, TIMED,
)  # fmt: skip
HOSTILE_TEXT = "\x1b[2Jgone\r\n\u202eTraceback \ud800" + 5000 * "x"
ONE = "1" * 64
# (number of the answer that a hostile line replaces, the line)
HOSTILE: dict[str, tuple[int, dict[str, Any] | bytes]] = {
    "another program": (0, b"Welcome to Ubuntu 24.04!\n"),
    "binary": (0, bytes(range(11, 256)) + b"\n"),
    "no object": (0, b"[]\n"),
    "deep": (0, b"[" * 100_000 + b"\n"),
    "digits": (0, b'{"hello": ' + b"9" * 5000 + b"}\n"),
    "another version": (0, HELLO | {"hello": PROTOCOL + 1}),
    "a name with control characters": (0, HELLO | {"chip": HOSTILE_TEXT}),
    "no name": (0, HELLO | {"chip": " "}),
    "a path for an architecture": (0, HELLO | {"machine": "../../x"}),
    "a field more": (0, HELLO | {"more": 1}),
    "facts of another type": (0, HELLO | {"facts": FACTS | {"governor": ["performance"]}}),
    "a version for options": (1, {"opened": OPENED["opened"] | {"version": {"a": 1}}}),
    "versions that are a list": (1, {"opened": OPENED["opened"] | {"versions": ["1"]}}),
    "an answer to another question": (1, {"absent": []}),
    "two answers in one": (1, OPENED | {"error": "no", "kind": "failed"}),
    "an error that is no text": (1, {"error": ["x"], "kind": "failed"}),
    "an error for a terminal": (1, {"error": HOSTILE_TEXT, "kind": HOSTILE_TEXT[:10]}),
    "a model that nobody asked for": (2, {"absent": [ONE]}),
    "a digest that is a path": (2, {"absent": ["../../etc/passwd"]}),
    "one time": (3, {"times": [1e-3]}),
    "three times": (3, {"times": [1e-3, 1e-3, 1e-3]}),
    "no number": (3, {"times": [1e-3, "1e-3"]}),
    "true": (3, {"times": [1e-3, True]}),
    "zero": (3, {"times": [1e-3, 0.0]}),
    "a negative time": (3, {"times": [1e-3, -1e-3]}),
    "not finite": (3, b'{"times": [1e-3, NaN]}\n'),
    "infinite": (3, b'{"times": [1e-3, 1e999]}\n'),
    "an age": (3, {"times": [1e-3, 1e30]}),
    "a round too few": (4, TIMED),
    "a round too many": (5, {"times": [1e-3, 2e-3]}),
    "longer to load than in all": (5, {"timed": TIMED["timed"] | {"prepare_s": 3.0}}),
    "a state of another type": (5, {"timed": TIMED["timed"] | {"state": {"frequency": "x"}}}),
}
# The three answers after the first each follow a message: open, have, time.
WORKER = """import os, sys
answers, then = {answers!r}, {then!r}
for number, line in enumerate(answers):
    if number in (1, 2, 3):
        while not (message := sys.stdin.buffer.readline()).strip():
            message or sys.exit()
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
while then == "endless":
    sys.stdout.buffer.write(b"x" * 65536)
if then == "killed":
    os.kill(os.getpid(), 9)
sys.stdin.buffer.read()
"""


def worker_program(answers: Sequence[dict[str, Any] | bytes], then: str = "") -> str:
    """A Python program in place of the server: it sends these answers, as lines.

    Args:
        then: `endless` output without a line's end, or `killed`; else it waits for its end.
    """
    lines = [a if isinstance(a, bytes) else json.dumps(a).encode() + b"\n" for a in answers]
    return WORKER.format(answers=lines, then=then)


class AnswersContract(ABC):
    """Whatever a device answers: the right times, or one line that names it, at once."""

    @abstractmethod
    def open_worker(self, program: Path) -> Session:
        """A session with the engine null whose server is this Python program."""

    def time(self, answers: Sequence[dict[str, Any] | bytes], then: str = "") -> Any:
        """The times of two chains in two rounds."""
        with tempfile.TemporaryDirectory() as name:
            program = Path(name) / "worker.py"
            program.write_text(worker_program(answers, then))
            with self.open_worker(program) as session:
                return session.time([(UNIT,), (UNIT, UNIT)], rounds=2).times

    def line(self, answers: Sequence[dict[str, Any] | bytes], then: str = "") -> str:
        """The line in which a session ends."""
        try:
            times = self.time(answers, then)
        except DroppedError as error:
            raise AssertionError(f"it is tried again: {error}") from None
        except OSError as error:
            line = str(error)
        else:
            raise AssertionError(f"taken for times: {times}")
        plain = not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in line)
        assert plain and "\n" not in line and len(line) < 700, line
        return line

    def test_an_honest_worker(self) -> None:
        np.testing.assert_array_equal(self.time(ANSWERS), [[1e-3, 1e-3], [2e-3, 2e-3]])

    def test_a_hostile_answer_is_one_line(self) -> None:
        for name, (number, answer) in HOSTILE.items():
            line = self.line([*ANSWERS[:number], answer, *ANSWERS[number + 1 :]])
            assert "://" in line or "process" in line, f"{name}: {line}"

    def test_a_line_without_an_end(self) -> None:
        for number in (0, 3):
            assert "must be a line of at most" in self.line(ANSWERS[:number], "endless")

    def test_a_worker_that_the_system_kills(self) -> None:
        assert "the worker ended" in self.line(ANSWERS[:3], "killed")
