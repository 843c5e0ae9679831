"""The plan of the project and a reader of its source, for the tests of this folder.

`PLAN` is the only list of packages and sub-packages, in import order: a file imports its own
sub-package and those before it. Commands are not listed; a module with a `main` is one.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PLAN = {
    "space": "common graph units network architectures cost zoo",
    "latency": (
        "ondevice engines table devices measure builder paper_model microbenchmarks emulator audit"
    ),
    "evaluator": "score data training benchmarks estimate predictor measured_benchmark",
    "search": "problem optimizer sampling labels result comparison experiments workflow",
}
BELOW = {
    "space": (),
    "latency": ("space",),
    "evaluator": ("space",),
    "search": ("space", "latency", "evaluator"),
}
PUBLIC = {
    "space": "ShuffleNetV2Space Architecture Network Block Op Guidelines PAPER_LIMITS CostModel "
    "published_network published_networks shelf_networks build_module load_torchvision_weights "
    "feature_layers",
    "latency": "load_table LatencyTable OpCostModel TableHeader Measurement build_table "
    "BuildConfig validate_table measure_networks open_session get_engine write_onnx load_limits "
    "audit_model",
    "evaluator": "ClosedForm score_genes Predictor Recipe open_data train_network TrainConfig "
    "benchmark_scores estimate_accuracy estimate_genes AccuracyEstimate",
    "search": "Budget parse_budgets Problem Study SearchConfig search SearchResult baseline "
    "Bounds export_network",
}
# Other processes start these files; a user does not.
PROGRAMS = ("latency.ondevice.main", "latency.emulator.ncnn_worker")
STANDARD = set(sys.stdlib_module_names)


def name_of(path: Path) -> str:
    """The module of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files_of(folder: str) -> dict[str, Path]:
    return {name_of(path): path for path in sorted((ROOT / folder).rglob("*.py"))}


MODULES = {name: path for package in PLAN for name, path in files_of(package).items()}
TESTS = files_of("tests")


@cache
def source(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(source(path), filename=str(path))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree(path)))


def sub_package(module: str) -> str:
    """`space.graph` of `space.graph.op`; "" for a file in the root of a package."""
    words = module.split(".")
    return ".".join(words[:2]) if words[1:2] and words[1] in PLAN[words[0]].split() else ""


def is_package(module: str) -> bool:
    return MODULES[module].name == "__init__.py"


@cache
def commands() -> dict[str, str]:
    """What `python -m` takes -> module, of every module with a `main`."""
    found = {}
    for module, path in MODULES.items():
        if module not in PROGRAMS and "main" in (
            node.name for node in tree(path).body if isinstance(node, ast.FunctionDef)
        ):
            found[module.removesuffix(".__main__")] = module
    return found


@dataclass(frozen=True)
class Import:
    """An imported name: `module` is the file's module if it is ours, else what the source says.

    `name`: what is imported from it, or "". `at_import`: it runs when the file is imported.
    """

    module: str
    name: str
    at_import: bool
    line: int


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """Every import of a file, in functions and under TYPE_CHECKING too."""
    return tuple(_imports(tree(path), path, True))


def _imports(parent: ast.AST, path: Path, at_import: bool) -> Iterator[Import]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, "", at_import, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, path)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                known = inner in MODULES or inner in TESTS
                name = "" if known else alias.name
                yield Import(inner if known else base, name, at_import, node.lineno)
        else:
            later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(node, path, at_import and not later and not _for_types(node))


def _base(node: ast.ImportFrom, path: Path) -> str:
    if not node.level:
        return node.module or ""
    package = path.relative_to(ROOT).parts[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


@cache
def strings(path: Path) -> tuple[tuple[str, int], ...]:
    """Strings of a file that equal one of our modules: what `import_module` could load."""
    return tuple(
        (node.value, node.lineno)
        for node in nodes(path)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and "." in node.value
        and node.value in MODULES
    )


@cache
def ours(module: str) -> tuple[str, ...]:
    """Our modules that a module imports, anywhere in it, or names in a string."""
    found = [i.module for i in imports(MODULES[module]) if i.module in MODULES]
    named = [text for text, _ in strings(MODULES[module]) if text not in commands()]
    return tuple(dict.fromkeys([*found, *named]))


def uses(path: Path, *names: str) -> list[int]:
    """Lines of a file with one of these names: imported, read, or as an attribute.

    A dotted name, such as `sys.stderr`, is an attribute of a name, or an imported module.
    """
    found = []
    for node in nodes(path):
        if isinstance(node, ast.Attribute):
            if node.attr in names or f"{ast.unparse(node.value)}.{node.attr}" in names:
                found.append(node.lineno)
        elif isinstance(node, ast.Name) and node.id in names:
            found.append(node.lineno)
    for item in imports(path):
        whole = f"{item.module}.{item.name}".rstrip(".")
        parts = whole.split(".")
        prefixes = {".".join(parts[: n + 1]) for n in range(len(parts))}
        if prefixes & set(names) or parts[-1] in names:
            found.append(item.line)
    return sorted(set(found))


def places(found: dict[str, list[int]]) -> str:
    """The findings, one a line, for a message."""
    return "\n".join(f"{name}: line {', '.join(map(str, at))}" for name, at in found.items() if at)


def required_words(parser: argparse.ArgumentParser) -> list[str]:
    """The least that a parser accepts: a value for everything that is required."""
    words = []
    for action in parser._actions:
        needed = action.required or (not action.option_strings and action.nargs in (None, "+"))
        if not needed or isinstance(action, argparse._HelpAction):
            continue
        value = str(next(iter(action.choices))) if action.choices else "1"
        count = action.nargs if isinstance(action.nargs, int) else 1
        words += [*action.option_strings[:1], *[value] * count]
    return words
