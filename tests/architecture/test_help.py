"""`--help` of every command loads the standard library and our files only, within 0.3 s."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import cache

import pytest

from tests.architecture import house
from tests.architecture.house import MODULES, PLAN, ROOT

COMMANDS = house.commands()
MOST_S = 0.3  # over an empty interpreter
RUNS = 7


def loaded_with(module: str) -> set[str]:
    """Our modules that an import of one runs: itself, packages, and what these import."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in MODULES and name not in found:
            found.add(name)
            waiting += [i.module for i in house.imports(MODULES[name]) if i.at_import]
            waiting.append(name.rpartition(".")[0])
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_imports_the_standard_library_only(command: str) -> None:
    """By reading: what the module of a command imports before its code runs."""
    others = {
        module: sorted(
            {i.module.partition(".")[0] for i in house.imports(MODULES[module]) if i.at_import}
            - house.STANDARD
            - set(PLAN)
        )
        for module in loaded_with(COMMANDS[command])
    }
    assert {module: names for module, names in others.items() if names} == {}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def loaded(*words: str) -> set[str]:
    """The top-level names of all modules that a run of Python imports."""
    # The module `copy` of Python looks for `org.python`, which Jython has.
    lines = [line for line in run("-X", "importtime", *words).stderr.splitlines() if "|" in line]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines} - {"org"}


def seconds(*words: str) -> float:
    best = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        run(*words)
        best = min(best, time.perf_counter() - start)
    return best


@cache
def empty() -> tuple[set[str], float]:
    return loaded("-c", "pass"), seconds("-c", "pass")


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_light(command: str) -> None:
    modules, least = empty()
    names = loaded("-m", command, "--help") - modules
    assert "argparse" in names, "the log was not read"
    assert names - house.STANDARD - set(PLAN) == set()
    assert run("-m", command, "--help").stdout.startswith(f"usage: python -m {command}")
    assert seconds("-m", command, "--help") - least <= MOST_S
