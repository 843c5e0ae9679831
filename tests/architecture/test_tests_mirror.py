"""Tests mirror the product: a folder for each sub-package, helpers in `tests/helpers`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture import house
from tests.architecture.house import MODULES, PLAN, ROOT, TESTS

FOLDERS = [(package, name) for package, names in PLAN.items() for name in names.split()]
PATCHES = ("setattr", "delattr", "patch", "patch.object")


@pytest.mark.parametrize(("package", "name"), FOLDERS)
def test_a_sub_package_has_tests(package: str, name: str) -> None:
    assert list((ROOT / "tests" / package / name).glob("test_*.py"))


def test_folders_of_tests_are_those_of_the_product() -> None:
    found = {p.parent.relative_to(ROOT / "tests").as_posix() for p in TESTS.values()}
    known = {f"{package}/{name}" for package, name in FOLDERS}
    assert found - {".", "architecture", "helpers", "gpu", *PLAN, *known} == set()


@pytest.mark.parametrize("package", PLAN)
def test_tests_in_the_folder_of_a_package_are_of_its_commands(package: str) -> None:
    """`test_run_errors.py` is of the command `run`."""
    commands = {m.removeprefix(f"{package}.") for m in MODULES if m in house.commands()}
    files = [path.stem for path in (ROOT / "tests" / package).glob("test_*.py")]
    others = [f for f in files if not f.removeprefix("test_").startswith(tuple(commands))]
    assert others == []


def test_helpers_are_in_one_folder() -> None:
    """A file with neither tests nor fixtures is a helper, or a script for whoever has a GPU."""
    others = [
        module
        for module, path in TESTS.items()
        if not path.name.startswith("test_") and path.name not in ("__init__.py", "conftest.py")
    ]
    outside = {m for m in others if not m.startswith(("tests.helpers.", "tests.gpu."))}
    assert outside == {"tests.architecture.house"}


@pytest.mark.parametrize("module", TESTS)
def test_a_test_file_has_tests(module: str) -> None:
    path = TESTS[module]
    names = [n.name for n in house.nodes(path) if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    tests = [name for name in names if name.startswith(("test_", "Test"))]
    assert bool(tests) == path.name.startswith("test_")


def string_patches(path: Path) -> list[int]:
    """Lines that patch a name by its path in a string."""
    lines = []
    for node in house.nodes(path):
        if isinstance(node, ast.Call) and node.args:
            function = ast.unparse(node.func).rpartition(".")[2]
            first = node.args[0]
            text = first.value if isinstance(first, ast.Constant) else first
            is_path = (isinstance(text, str) and "." in text) or isinstance(first, ast.JoinedStr)
            if function in PATCHES and is_path:
                lines.append(node.lineno)
    return lines


@pytest.mark.parametrize("module", TESTS)
def test_no_test_patches_by_a_string(module: str) -> None:
    assert string_patches(TESTS[module]) == []


def test_string_patches_are_found(tmp_path: Path) -> None:
    path = tmp_path / "test_a.py"
    path.write_text(
        'monkeypatch.setattr("a.b.c", 1)\nmonkeypatch.setattr(module, "c", 1)\n'
        'mock.patch("a.b")\nmonkeypatch.setattr(f"{a}.b", 1)\n',
        encoding="utf-8",
    )
    assert string_patches(path) == [1, 3, 4]


def raises_without_match(path: Path) -> list[int]:
    return [
        node.lineno
        for node in house.nodes(path)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "pytest.raises"
        and "match" not in {word.arg for word in node.keywords}
    ]


@pytest.mark.parametrize("module", TESTS)
def test_raises_always_matches_a_message(module: str) -> None:
    assert raises_without_match(TESTS[module]) == []
