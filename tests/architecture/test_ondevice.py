"""`latency.ondevice` runs on a device without the rest: standard library, Python 3.9, one zip."""

from __future__ import annotations

import ast
import io
import zipfile

import pytest

from latency.devices.archive import server_archive
from tests.architecture import house
from tests.architecture.house import MODULES, ROOT

FOLDER = ROOT / "latency" / "ondevice"
FILES = {m: p for m, p in MODULES.items() if p.is_relative_to(FOLDER)}
OLDEST = (3, 9)
# What a runner may import beside the standard library and numpy, which every engine needs.
PACKAGES = {"onnxruntime": "onnxruntime", "litert": "ai_edge_litert", "ncnn": "ncnn"}
# Keyword arguments that Python 3.9 does not know.
NEWER = {("zip", "strict"), ("dataclass", "slots"), ("dataclass", "kw_only")}


@pytest.mark.parametrize("module", FILES)
def test_it_imports_nothing_else(module: str) -> None:
    """A string that names a module counts; the runners may have their engine's package."""
    ours = [name for name in house.ours(module) if not name.startswith("latency.ondevice")]
    assert ours == []
    found = {i.module.partition(".")[0] for i in house.imports(FILES[module])}
    others = found - house.STANDARD - {"latency"}
    folder, _, name = module.rpartition(".")
    runs = (
        {"numpy", PACKAGES.get(name, "numpy")} if folder == "latency.ondevice.runners" else set()
    )
    assert others <= runs


@pytest.mark.parametrize("module", FILES)
def test_it_is_python_3_9(module: str) -> None:
    ast.parse(house.source(FILES[module]), feature_version=OLDEST)
    body = [node for node in house.tree(FILES[module]).body if not isinstance(node, ast.Expr)]
    if body:
        assert ast.unparse(body[0]) == "from __future__ import annotations"
    assert newer(house.tree(FILES[module])) == []


def newer(tree: ast.AST) -> list[int]:
    """Lines that parse as Python 3.9 and fail there: arguments, and unions that are evaluated."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func).rpartition(".")[2]
        found += [node.lineno for word in node.keywords if (function, word.arg) in NEWER]
        if function in ("isinstance", "issubclass") and isinstance(node.args[1], ast.BinOp):
            found.append(node.lineno)
    return found


def test_what_is_newer_is_found() -> None:
    text = "zip(a, b, strict=True)\nisinstance(a, int | str)\nzip(a)\ndataclass(slots=True)"
    assert newer(ast.parse(text)) == [1, 2, 4]
    with pytest.raises(SyntaxError, match="Pattern matching is only supported in Python 3"):
        ast.parse("match a:\n    case 1: pass", feature_version=OLDEST)


def test_the_archive_holds_the_folder_and_nothing_else() -> None:
    name, data = server_archive()
    assert name.endswith(".pyz")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        held = {entry: archive.read(entry) for entry in archive.namelist()}
    files = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in FILES.values()}
    start = held.pop("__main__.py").decode()
    assert held.pop("latency/__init__.py") == b""
    assert held == files
    ast.parse(start, feature_version=OLDEST)
    loaded = {n.module for n in ast.walk(ast.parse(start)) if isinstance(n, ast.ImportFrom)}
    assert loaded == {"latency.ondevice.main"}
