"""What no option of any command may be: out of range, empty, no file. Refused before any work."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture import house

COMMANDS = house.commands()
MOST_S = 10
UNLIMITED = {
    ("latency.audit", "--top"),
    ("evaluator.train", "--save-every"),
    ("evaluator.train", "--lr"),
}
SIGNED = {("search.run", "--optimism"), ("search.optimum", "--optimism")}


def parser(command: str) -> argparse.ArgumentParser:
    found: argparse.ArgumentParser = importlib.import_module(COMMANDS[command]).parser()
    return found


def options(*types: object) -> list[tuple[str, str]]:
    """(command, option) of all options that take a value of one of the types."""
    return [
        (command, action.option_strings[-1])
        for command in COMMANDS
        for action in parser(command)._actions
        if action.option_strings and action.nargs != 0 and not action.choices
        if action.type in types
    ]


def variants(command: str) -> Iterator[list[str]]:
    """The least that the command accepts; once for each choice of its first argument, since some
    options belong to one."""
    words = house.required_words(parser(command))
    first = next((a for a in parser(command)._actions if not a.option_strings), None)
    for choice in (first.choices if first and first.choices and words else [None]) or []:
        yield words if choice is None else [str(choice), *words[1:]]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path / "cache"))


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Stop what waits for ever."""

    def stop(*_: object) -> None:
        raise AssertionError(f"not refused within {MOST_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(MOST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def messages(command: str, words: list[str]) -> list[str]:
    """What each variant of the command says on stderr; it must end with status 1 or 2."""
    main = importlib.import_module(COMMANDS[command]).main
    found = []
    for base in variants(command):
        out, err = io.StringIO(), io.StringIO()
        with in_time(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = main([*base, *words])
            except SystemExit as error:
                status = error.code
        text = err.getvalue()
        assert status in (1, 2), f"exit status {status}: {text}"
        last = text.splitlines()[-1]
        assert last.startswith(f"{command}: "), text
        found.append(last)
    return found


@pytest.mark.parametrize("value", ["-1", "nan", "1000000000000"])
@pytest.mark.parametrize(("command", "option"), options(int, float))
def test_a_number_has_a_range(command: str, option: str, value: str) -> None:
    if (command, option) in UNLIMITED and not value.startswith(("-", "n")):
        pytest.skip("any size is right")
    if (command, option) in SIGNED and value.startswith("-"):
        value += "000"
    found = messages(command, [option, value])
    assert any(option in text and value in text for text in found), found


@pytest.mark.parametrize(("command", "option"), options(None))
def test_a_text_is_not_empty(command: str, option: str) -> None:
    assert all(option in text for text in messages(command, [option, ""]))


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "missing"])
@pytest.mark.parametrize(("command", "option"), options(Path))
def test_what_is_no_file_is_not_waited_for(command: str, option: str, kind: str) -> None:
    if option == "--out" and kind in ("folder", "missing"):
        pytest.skip("a place to write to")
    path = Path.cwd() / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
        (path / "y").touch()
    messages(command, [option, str(path)])
    assert path.is_fifo() == (kind == "pipe")
    assert path.is_symlink() == (kind == "device")
