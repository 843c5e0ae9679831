"""Imports run one way: between packages, and between the folders of a package."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import house
from tests.architecture.house import BELOW, MODULES, PLAN, ROOT

# Where a string may name one of our modules, as `import_module` loads it.
MAY_NAME_MODULES = ("latency.engines", "latency.ondevice", "latency.audit")
MAY_IMPORT_MODULES = (*MAY_NAME_MODULES, "space.common.lazy")
HEAVY = {"numpy", "torch", "optuna", "pandas", "scipy", "onnx", "onnxruntime", "rich"}


def allowed(module: str) -> set[str]:
    """The sub-packages that a module may import."""
    package = module.partition(".")[0]
    order = [f"{package}.{name}" for name in PLAN[package].split()]
    own = house.sub_package(module)
    if own == "latency.ondevice":
        return {own}
    inside = order[: order.index(own) + 1] if own else order
    return {
        *inside,
        *(f"{other}.{name}" for other in BELOW[package] for name in PLAN[other].split()),
    }


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    """Imports inside functions and for types count, and strings that name a module."""
    wrong = [
        other
        for other in house.ours(module)
        if "." in other
        and other not in house.commands().values()
        and house.sub_package(other) not in allowed(module)
    ]
    assert wrong == []


@pytest.mark.parametrize("module", MODULES)
def test_nobody_imports_from_the_root_of_a_package(module: str) -> None:
    """Our code imports a name from the file that defines it: the root imports every file."""
    lines = [i.line for i in house.imports(MODULES[module]) if i.module in PLAN and i.name]
    assert lines == []


@pytest.mark.parametrize("module", MODULES)
def test_strings_do_not_import(module: str) -> None:
    path = MODULES[module]
    if module not in PLAN and not module.startswith(MAY_NAME_MODULES):
        named = {text: line for text, line in house.strings(path) if text not in house.commands()}
        assert named == {}
    if not module.startswith(MAY_IMPORT_MODULES):
        assert house.uses(path, "import_module", "__import__", "runpy") == []


@pytest.mark.parametrize(
    "module", [m for m in MODULES if m.startswith("space") and m != "space.network.torch_module"]
)
def test_space_needs_numpy_only(module: str) -> None:
    """`common` has the optional ones, inside functions."""
    found = [i for i in house.imports(MODULES[module]) if i.module not in MODULES]
    if house.sub_package(module) == "space.common":
        found = [i for i in found if i.at_import]
    others = {i.module.partition(".")[0] for i in found} - house.STANDARD
    assert others <= {"numpy"}


@pytest.mark.parametrize("module", MODULES)
def test_torch_is_imported_at_the_top_of_few_files(module: str) -> None:
    if module == "space.network.torch_module" or module.startswith(
        ("evaluator.", "latency.engines.torch")
    ):
        return
    top = {i.module.partition(".")[0] for i in house.imports(MODULES[module]) if i.at_import}
    assert not top & {"torch", "torchvision"}


@pytest.mark.parametrize("package", PLAN)
def test_import_of_a_package_is_light(package: str) -> None:
    code = f"import sys, {package}; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_space_loads_no_torch() -> None:
    """Every module of space but torch_module, imported in a new process."""
    modules = [
        name
        for name in MODULES
        if name.startswith("space") and name != "space.network.torch_module"
    ]
    heavy = HEAVY - {"numpy"}
    code = f"import sys, {', '.join(modules)}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_project_is_found() -> None:
    assert {"space.graph.op", "space.network.torch_module", "latency.table.load"} <= set(MODULES)
    assert house.commands()["space.zoo"] == "space.zoo.__main__"


def test_reader_of_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader: where an import is, relative ones, names out of packages, strings."""
    folder = tmp_path / "search" / "deep"
    folder.mkdir(parents=True)
    path = folder / "file.py"
    path.write_text(
        "import torch.nn as nn\n"
        "from typing import TYPE_CHECKING\n"
        "from . import near\n"
        "from ..up import thing\n"
        "if TYPE_CHECKING:\n"
        "    import optuna\n"
        "try:\n"
        "    import onnx\n"
        "except ImportError:\n"
        "    pass\n"
        "class A:\n"
        "    import pandas\n"
        "    def f(self):\n"
        "        from space.graph import op\n"
        "        return 'space.graph.op', sys.stderr\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(house, "ROOT", tmp_path)
    found = {(i.module, i.name): i.at_import for i in house.imports(path)}
    assert found == {
        ("torch.nn", ""): True,
        ("typing", "TYPE_CHECKING"): True,
        ("search.deep", "near"): True,
        ("search.up", "thing"): True,
        ("optuna", ""): False,
        ("onnx", ""): True,
        ("pandas", ""): True,
        ("space.graph.op", ""): False,
    }
    assert house.strings(path) == (("space.graph.op", 15),)
    assert house.uses(path, "sys.stderr") == [15]
    assert house.uses(path, "torch.nn") == [1]
    assert house.uses(path, "sys.stdout", "nothing") == []


def test_a_wrong_import_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "space" / "graph" / "bad.py"
    path.parent.mkdir(parents=True)
    path.write_text("def f():\n    from space.zoo import entry\n", encoding="utf-8")
    monkeypatch.setattr(house, "ROOT", tmp_path)
    monkeypatch.setitem(MODULES, "space.graph.bad", path)
    house.ours.cache_clear()
    with pytest.raises(AssertionError, match=r"space\.zoo\.entry"):
        test_imports_run_one_way("space.graph.bad")
    house.ours.cache_clear()


def test_every_file_is_read() -> None:
    assert all(isinstance(house.tree(path), ast.Module) for path in MODULES.values())
