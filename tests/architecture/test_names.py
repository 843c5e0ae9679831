"""Names: private ones stay in their file, public ones are unique, documented and importable."""

from __future__ import annotations

import ast
import doctest
import importlib
import itertools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.architecture import house
from tests.architecture.house import MODULES, PLAN, PUBLIC, TESTS

# Each engine, runner and command has one of its own; a loader finds it by this name.
REPEATED = {"main", "parser", "open_engine", "open_runner", "build_model"}
PUBLIC_NAMES = [(package, name) for package, names in PUBLIC.items() for name in names.split()]
ALL = {**MODULES, **TESTS}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_uses(path: Path) -> list[int]:
    """Lines that import a private name of another module of ours, or read it from one."""
    ours = [i for i in house.imports(path) if i.module in ALL]
    lines = [i.line for i in ours if is_private(i.name)]
    modules = {}
    for node in house.nodes(path):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if f"{node.module}.{alias.name}" in ALL:
                    modules[alias.asname or alias.name] = True
        elif isinstance(node, ast.Import):
            modules |= {a.asname or a.name: True for a in node.names if a.name in ALL}
    for node in house.nodes(path):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if ast.unparse(node.value) in modules:
                lines.append(node.lineno)
    return lines


@pytest.mark.parametrize("module", ALL)
def test_private_names_stay_in_their_file(module: str) -> None:
    assert private_uses(ALL[module]) == []


def test_private_uses_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.py"
    path.write_text(
        "from space.graph.op import _a, b\n"
        "from space.graph import op as o\n"
        "import space.zoo.entry\n"
        "o._x, space.zoo.entry._y, o.z, self._q, o.__doc__\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(house, "ROOT", tmp_path)
    assert private_uses(path) == [1, 4, 4]


def definitions(path: Path) -> Iterator[str]:
    for node in house.tree(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name


def test_a_public_name_is_defined_once() -> None:
    homes = defaultdict(list)
    for module, path in MODULES.items():
        for name in definitions(path):
            homes[name].append(module)
    twice = {n: where for n, where in homes.items() if len(where) > 1 and n not in REPEATED}
    assert twice == {}


@pytest.mark.parametrize("package", PLAN)
def test_a_package_lists_its_public_names(package: str) -> None:
    """`__all__` has those of the plan, and type checkers see the same names."""
    module = importlib.import_module(package)
    listed = set(module.__all__)
    assert set(PUBLIC[package].split()) <= listed
    typed = {i.name for i in house.imports(MODULES[package]) if not i.at_import}
    assert listed == typed
    assert listed <= set(dir(module))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


def documentation(package: str, name: str) -> str:
    """The docstring of a class or function; the string under a constant."""
    found = getattr(importlib.import_module(package), name)
    if isinstance(found, type) or callable(found):
        return found.__doc__ or ""
    home = next(i.module for i in house.imports(MODULES[package]) if i.name == name)
    body = house.tree(MODULES[home]).body
    for node, after in itertools.pairwise(body):
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id == name and isinstance(after, ast.Expr):
            return str(ast.literal_eval(after.value))
    return ""


@pytest.mark.parametrize(("package", "name"), PUBLIC_NAMES)
def test_a_public_name_has_documentation_and_an_example(package: str, name: str) -> None:
    text = documentation(package, name)
    assert len(text.split()) >= 10, text
    found: Any = getattr(importlib.import_module(package), name)
    if isinstance(found, type) or callable(found):
        assert "Example:\n" in text
        assert ">>> " in text


@pytest.mark.slow
@pytest.mark.parametrize("module", [m for m, p in MODULES.items() if ">>> " in house.source(p)])
def test_examples_run(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path / "cache"))
    result = doctest.testmod(importlib.import_module(module), report=True)
    assert result.attempted > 0
    assert result.failed == 0
