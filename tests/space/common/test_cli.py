from __future__ import annotations

import errno

import pytest

from space.common.cli import Parser, log, run_command
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
