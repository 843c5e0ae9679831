from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from space.common.cli import Parser, check_range, log, run_command
from space.common.errors import InfeasibleError, MissingOpError


def _raise(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (InfeasibleError("none fits"), 1, "none fits"),
        (MissingOpError("no block"), 1, "no block"),
        (ValueError("two\n  lines"), 2, "two lines"),
        (ModuleNotFoundError("No module named 'x'"), 1, "No module named 'x'"),
        (OSError(errno.EACCES, "Permission denied", "/a b"), 2, "/a b: Permission denied"),
        (OSError("free text"), 1, "free text"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_end_in_one_line(
    error: BaseException, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("search.x", lambda: _raise(error)) == status
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"search.x: {message}\n")


def test_our_own_bugs_are_not_hidden() -> None:
    with pytest.raises(KeyError, match="bug"):
        run_command("search.x", lambda: _raise(KeyError("bug")))


def test_success_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("search.x", lambda: 0) == 0
    assert capsys.readouterr() == ("", "")


def test_talk_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    log("hello")
    assert capsys.readouterr() == ("", "hello\n")


@pytest.fixture
def parser() -> Parser:
    result = Parser(prog="python -m search.x")
    result.add_argument("--budget", action="append", default=[])
    result.add_argument("--trials", type=int)
    result.add_argument("--resume", action="store_true")
    return result


@pytest.mark.parametrize("text", ["-5M", "-.5ms", "-5", "-1e6"])
def test_values_may_begin_with_a_minus(parser: Parser, text: str) -> None:
    args = parser.parse_args(["--budget", text, "--budget", "3M", "--resume"])
    assert args.budget == [text, "3M"]
    assert parser.parse_args([f"--budget={text}"]).budget == [text]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", ""], "--budget must not be empty"),
        (["--budget="], "--budget must not be empty"),
        (["--budget", " "], "--budget must not be empty"),
        ([""], "an argument must not be empty"),
        (["--trials", "x"], "argument --trials: invalid int value: 'x'"),
        (["--bogus"], "unrecognized arguments: --bogus"),
        (["--budget"], "argument --budget: expected one argument"),
        (["--budget", "--resume"], "argument --budget: expected one argument"),
    ],
)
def test_wrong_usage_is_one_line(
    parser: Parser, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        parser.parse_args(words)
    assert capsys.readouterr() == ("", f"search.x: {message} (see --help)\n")


def test_a_message_cannot_fill_or_recolour_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    run_command("search.x", lambda: _raise(ValueError("\x1b[31m\0" + "x" * 100_000 + "end")))
    err = capsys.readouterr().err
    assert err.startswith("search.x: \\x1b[31m\\x00xxx") and err.endswith("xend\n")
    assert len(err) < 1100


def test_an_interrupt_that_a_library_rewords_is_an_interrupt(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted_inside_a_library() -> int:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("some callback failed") from None
        return 0

    before = signal.getsignal(signal.SIGINT)
    assert run_command("search.x", interrupted_inside_a_library, stopped="go on later") == 130
    assert capsys.readouterr().err == "search.x: go on later\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_command_runs_in_a_thread() -> None:
    """Signals are for the main thread alone; elsewhere a command does without."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(run_command("search.x", lambda: 0)))
    thread.start()
    thread.join()
    assert found == [0]


def test_too_little_memory_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("search.x", lambda: np.empty(2**60, np.uint8).size) == 1
    assert capsys.readouterr().err.startswith("search.x: not enough memory: Unable to allocate")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_stdout_is_one_line(root: Path) -> None:
    code = "from space.common.cli import run_command; run_command('x', lambda: print('1') or 0)"
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run([sys.executable, "-c", code], cwd=root, stdout=full, stderr=-1)
    assert done.stderr.decode().splitlines()[0] == "x: No space left on device"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": 2**32, "steps": 1}, "--seed must be from 0 to 4294967295; got 4294967296"),
        ({"seed": -1, "steps": 1}, "--seed must be from 0 to 4294967295; got -1"),
        ({"seed": 0, "steps": 0}, "--steps must be at least 1; got 0"),
        ({"seed": 0, "steps": float("nan")}, "--steps must be at least 1; got nan"),
    ],
)
def test_a_range_is_in_the_message(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_range(values, "seed", steps=(1, None))


def test_what_is_absent_has_no_range() -> None:
    check_range({"seed": None, "steps": 7}, "seed", steps=(1, 7))


@pytest.mark.parametrize(
    ("words", "option"), [(["--out", ""], "--out"), (["--out="], "--out"), ([" "], "an argument")]
)
def test_no_value_is_empty(
    words: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = Parser(prog="python -m some.command")
    parser.add_argument("name", nargs="?")
    parser.add_argument("--out")
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(words)
    assert capsys.readouterr().err.startswith(f"some.command: {option} must not be empty")


def test_an_interrupt_inside_exec_has_its_status(root: Path, tmp_path: Path) -> None:
    """Interrupted while a library makes a dataclass, say."""
    (tmp_path / "interrupted.py").write_text(
        "from space.common.cli import run_command\n"
        "line = 'import signal; signal.raise_signal(signal.SIGINT)'\n"
        "raise SystemExit(run_command('x', lambda: exec(line) or 0))\n"
    )
    words = [sys.executable, "-m", "interrupted"]
    path = f"{tmp_path}{os.pathsep}{root}"
    done = subprocess.run(words, env={"PYTHONPATH": path}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "x: interrupted\n")
