"""Imports run one way only, and `--help` stays fast."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("space", "latency", "evaluator", "search")
MAY_IMPORT = {
    "space": {"space"},
    "latency": {"space", "latency"},
    "evaluator": {"space", "evaluator"},
    "search": set(ROOMS),
}
COMMANDS = (
    "search.run",
    "search.reproduce",
    "search.benchmark",
    "search.ablation",
    "search.compare",
    "latency.build",
    "latency.diff",
    "latency.engines.__main__",
    "latency.published",
    "latency.show",
    "latency.guidelines",
    "latency.validate",
    "latency.diff",
    "space.zoo",
    "latency.audit",
    "evaluator.benchmark",
    "evaluator.train",
    "evaluator.measured",
    "evaluator.measured_report",
    "evaluator.predictor",
)
# What takes long to load: torch alone 3 s, each of the others a good part of one.
HEAVY = {"torch", "torchvision", "optuna", "pandas", "onnx", "onnxruntime", "onnxscript"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(p): p for room in ROOMS for p in sorted((ROOT / room).rglob("*.py"))}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imported(path: Path, everywhere: bool = True) -> set[str]:
    """Full names a file imports; without `everywhere` only those that run when it is imported."""
    names: set[str] = set()
    package = module_name(path).split(".") if path.name == "__init__.py" else None
    package = package or module_name(path).split(".")[:-1]

    def visit(node: ast.AST) -> None:
        if not everywhere and (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            or is_type_checking(node)
        ):
            return
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            names.add(source)
            names.update(f"{source}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8"), filename=str(path)))
    return names


def loaded_with(module: str) -> set[str]:
    """Modules of the project that importing one of them runs, itself and packages included."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or name not in MODULES:
            continue
        found.add(name)
        parents = [name.rpartition(".")[0]] if "." in name else []
        waiting += [*imported(MODULES[name], everywhere=False), *parents]
    return found


def heavy(module: str) -> set[str]:
    """The slow packages that a module imports when it is imported itself."""
    names = {name.partition(".")[0] for name in imported(MODULES[module], everywhere=False)}
    return names & HEAVY


def test_the_project_is_found() -> None:
    assert {"space.graph.op", "space.network.torch_module", "latency.table.load"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    """space <- latency, evaluator <- search; imports inside functions count."""
    rooms = {name.partition(".")[0] for name in imported(MODULES[module])} & set(ROOMS)
    assert rooms <= MAY_IMPORT[module.partition(".")[0]]


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("space")])
def test_space_needs_numpy_alone(module: str) -> None:
    names = {name.partition(".")[0] for name in imported(MODULES[module])}
    others = names - set(sys.stdlib_module_names) - {"space", "numpy"}
    assert others <= ({"torch"} if module == "space.network.torch_module" else set())


@pytest.mark.parametrize("module", MODULES)
def test_torch_is_imported_at_the_top_of_few_files(module: str) -> None:
    if module != "space.network.torch_module" and not module.startswith(
        ("evaluator.", "latency.engines.torch")
    ):
        assert not heavy(module) & {"torch", "torchvision"}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_import_nothing_slow(command: str) -> None:
    """By reading: what a command's module pulls in before its code runs."""
    if command not in MODULES:
        pytest.skip(f"{command} does not exist yet")
    slow = {module: heavy(module) for module in loaded_with(command) if heavy(module)}
    assert not slow


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_slow(command: str) -> None:
    """By running: every module that `python -m COMMAND --help` imports."""
    if command not in MODULES:
        pytest.skip(f"{command} does not exist yet")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", command, "--help"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert done.returncode == 0, done.stderr[-2000:]
    assert "usage" in done.stdout.lower()
    assert "argparse" in loaded or "numpy" in loaded or len(loaded) > 20  # the log was read
    assert not loaded & HEAVY


@pytest.mark.slow
def test_space_loads_no_torch() -> None:
    """Every module of space but build, imported in a fresh interpreter."""
    modules = [
        name
        for name in MODULES
        if name.startswith("space") and name != "space.network.torch_module"
    ]
    code = f"import sys, {', '.join(modules)}; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_reader_of_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader itself: where an import stands, relative ones, and names out of packages."""
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
        "        from latency import table\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    top = imported(path, everywhere=False)
    assert {"torch.nn", "onnx", "pandas", "search.deep.near", "search.up.thing"} <= top
    assert not top & {"optuna", "latency", "latency.table"}
    assert {"optuna", "latency.table"} <= imported(path)


def test_runners_import_nothing_else_of_this_project():
    for path in (ROOT / "latency" / "runners").glob("*.py"):
        ours = [name for name in imported(path) if name.split(".")[0] in ROOMS]
        others = [name for name in ours if not name.startswith("latency.ondevice.runners.")]
        assert not others, f"{path} is pushed to other devices without them"
