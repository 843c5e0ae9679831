"""Every error derives from G4nasError, and ends every command in one line and its status."""

from __future__ import annotations

import ast
import builtins
import errno
import importlib
import subprocess
import sys
from typing import Any

import pytest

from space.common.cli import run_command
from space.common.errors import AuditError, DataError, G4nasError, InfeasibleError, MissingOpError
from tests.architecture import house
from tests.architecture.house import MODULES, ROOT

COMMANDS = house.commands()
# `latency.ondevice` runs without the rest of the project.
EXCEPTED = {"RefusedError"}
BUILTIN = {
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}
ERRORS: list[tuple[BaseException, int, str]] = [
    (InfeasibleError("none fits"), 1, "none fits"),
    (MissingOpError("no block"), 1, "no block"),
    (AuditError("no graph"), 1, "no graph"),
    (DataError("no images"), 2, "no images"),
    (ValueError("two\n  lines"), 2, "two lines"),
    (PermissionError(errno.EACCES, "Permission denied", "/a b"), 2, "/a b: Permission denied"),
    (ConnectionError("device is gone"), 1, "device is gone"),
    (ModuleNotFoundError("No module named 'x'"), 1, "No module named 'x'"),
    (KeyboardInterrupt(), 130, ""),
]


def bases() -> dict[str, set[str]]:
    """Class -> its bases, of every class of the product."""
    return {
        node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        for path in MODULES.values()
        for node in house.nodes(path)
        if isinstance(node, ast.ClassDef)
    }


def ancestors(name: str, known: dict[str, set[str]]) -> set[str]:
    found = known.get(name, set())
    return found.union(*(ancestors(base, known) for base in found))


def test_every_exception_is_ours() -> None:
    known = bases()
    exceptions = {name for name in known if ancestors(name, known) & BUILTIN}
    assert len(exceptions) > 5
    others = {n for n in exceptions if "G4nasError" not in ancestors(n, known)}
    assert others - EXCEPTED == {"G4nasError"}


def test_every_error_has_a_status() -> None:
    import space.common.errors as home

    found = [e for e in vars(home).values() if isinstance(e, type) and issubclass(e, G4nasError)]
    assert {error.status for error in found} == {1, 2}
    assert all(error.__doc__ for error in found)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("error", "status", "message"), ERRORS, ids=lambda e: type(e).__name__)
def test_a_command_ends_in_one_line(
    command: str,
    error: BaseException,
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever its work raises: the body that it gives to `run_command` is replaced."""
    module = importlib.import_module(COMMANDS[command])

    def failing(name: str, body: Any, **options: Any) -> int:
        def raises() -> int:
            raise error

        return run_command(name, raises, **options)

    monkeypatch.setattr(module, "run_command", failing)
    assert module.main(house.required_words(module.parser())) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{command}: {message}")
    assert err.count("\n") == 1
    assert len(err) > len(f"{command}: \n")


@pytest.mark.parametrize("command", COMMANDS)
def test_wrong_usage_is_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(COMMANDS[command])
    with pytest.raises(SystemExit, match="2"):
        module.main([*house.required_words(module.parser()), "--no-such-option"])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{command}: ")
    assert err.endswith("(see --help)\n")
    assert err.count("\n") == 1


def test_a_closed_pipe_is_silent() -> None:
    code = f"{sys.executable} -m space.zoo | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    assert done.stdout.startswith("network ")
    assert done.stdout.splitlines()[-1] in ("0", "141")  # 0: all was written before head ended
