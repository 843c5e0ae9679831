"""The root of a package holds `__init__` and commands; a command is parser, config, one call."""

from __future__ import annotations

import ast

import pytest

from tests.architecture import house
from tests.architecture.house import MODULES, PLAN, ROOT

COMMANDS = house.commands()
USES_ARGPARSE = ("space.common.cli", "evaluator.training.cli")
MOST_LINES = 120


def functions(command: str) -> dict[str, ast.FunctionDef]:
    body = house.tree(MODULES[COMMANDS[command]]).body
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("package", PLAN)
def test_folders_are_those_of_the_plan(package: str) -> None:
    folders = {
        path.parent.relative_to(ROOT / package).parts[0]
        for path in MODULES.values()
        if path.is_relative_to(ROOT / package) and path.parent != ROOT / package
    }
    assert folders == set(PLAN[package].split())
    for name in folders:
        assert (ROOT / package / name / "__init__.py").is_file()


@pytest.mark.parametrize("package", PLAN)
def test_roots_hold_commands(package: str) -> None:
    files = {house.name_of(path) for path in (ROOT / package).glob("*.py")}
    assert files - {package} <= set(COMMANDS)


def test_commands_are_in_the_root_or_a_main_file() -> None:
    inner = {m for m in COMMANDS.values() if house.sub_package(m)}
    assert {module.rpartition(".")[2] for module in inner} <= {"__main__"}
    assert {m for m in MODULES if m.endswith(".__main__")} == inner


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_a_parser_and_a_main(command: str) -> None:
    path = MODULES[COMMANDS[command]]
    assert ast.get_docstring(house.tree(path))
    found = functions(command)
    assert ast.unparse(found["main"].args) == "arguments: Sequence[str] | None=None"
    assert ast.unparse(found["main"].returns or ast.Constant("")) == "int"
    assert ast.unparse(found["parser"].args) == ""
    assert house.uses(path, "run_command"), "its errors must end in one line"
    assert len(house.source(path).splitlines()) <= MOST_LINES


@pytest.mark.parametrize("module", MODULES)
def test_nothing_imports_a_command(module: str) -> None:
    assert [m for m in house.ours(module) if m in COMMANDS.values()] == []


@pytest.mark.parametrize("module", MODULES)
def test_argparse_stays_in_commands(module: str) -> None:
    path = MODULES[module]
    if module in COMMANDS.values():
        assert house.uses(path, "ArgumentParser") == [], "use space.common.cli.Parser"
        return
    if module not in USES_ARGPARSE:
        assert house.uses(path, "argparse") == []
    assert house.uses(path, "Namespace") == []
