"""The pages of the documentation: their links, their dates, their examples in Python."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

from tests.architecture.house import PLAN

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
RUNS = "| section | date | commit | host | command | seed |"
DATED = {
    "a date": re.compile(r"\b20\d\d-\d\d-\d\d\b"),
    "a commit": re.compile(r"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{7,40}\b"),
    "a host": re.compile(r"\bEPYC\b"),
}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = HEADING.findall(FENCE.sub("", page))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    for link in LINK.findall(FENCE.sub("", text(name))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        assert target.is_file(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def targets(page: Path) -> set[Path]:
    """The files that a page links to."""
    links = LINK.findall(page.read_text(encoding="utf-8"))
    return {(page.parent / link.partition("#")[0]).resolve() for link in links}


def test_every_page_and_picture_is_reached() -> None:
    """From the index, in one step; pictures from some page."""
    index = DOCS / "index.md"
    assert sorted({*PAGES} - {index} - targets(index)) == []
    named = set().union(*(targets(page) for page in PAGES))
    others = {path for path in DOCS.rglob("*") if path.is_file()} - {*PAGES}
    assert sorted(others - named) == []


@pytest.mark.parametrize("name", [n for n in NAMES if "/guide/" in n or "/reference/" in n])
def test_guides_and_references_are_not_dated(name: str) -> None:
    for what, pattern in DATED.items():
        assert pattern.findall(text(name)) == [], what


def test_a_dated_page_is_found() -> None:
    line = "2026-11-24, commit 8cd8722dacad, AMD EPYC"
    assert all(pattern.search(line) for pattern in DATED.values())


@pytest.mark.parametrize("name", [n for n in NAMES if "/results/" in n])
def test_results_begin_with_their_runs(name: str) -> None:
    """Date, commit, host, command and seed of each section, before the first section."""
    head = text(name).partition("\n## ")[0].splitlines()
    assert RUNS in head
    rows = list(takewhile(lambda line: line.startswith("|"), head[head.index(RUNS) + 2 :]))
    assert rows
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 6
        assert all(cells), row
        assert DATED["a date"].search(cells[1]), row


def test_architecture_lists_the_plan() -> None:
    """The packages and sub-packages, in import order."""
    rows = re.findall(
        r"^\| (?:`(\w+)`)? ?\| `(\w+)` \|", text("docs/architecture.md"), re.MULTILINE
    )
    found: dict[str, list[str]] = {}
    for package, folder in rows:
        package = package or list(found)[-1]
        found.setdefault(package, []).append(folder)
    assert {package: " ".join(folders) for package, folders in found.items()} == PLAN


@pytest.mark.parametrize("name", NAMES)
def test_files_and_modules_of_the_prose_exist(name: str) -> None:
    """What is in `code` and begins with one of our packages."""
    for words in re.findall(r"`([^`\n]+)`", FENCE.sub("", text(name))):
        if re.fullmatch(r"(space|latency|evaluator|search|tests|docs)/[\w/.*-]+", words):
            assert list(ROOT.glob(words.rstrip("/"))), words
        elif re.fullmatch(r"(space|latency|evaluator|search)(\.\w+)+", words):
            pkgutil.resolve_name(words)


def test_readme_is_short() -> None:
    assert len(text("README.md").splitlines()) <= 120


@pytest.mark.parametrize("name", [n for n in NAMES if PYTHON.search(text(n))])
def test_imports_of_examples_exist(name: str) -> None:
    for block in PYTHON.findall(text(name)):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                assert [a.name for a in node.names if not hasattr(module, a.name)] == []


def test_the_public_names_are_listed() -> None:
    """Each package's section lists `__all__`, and nothing else."""
    sections = text("docs/reference/python-api.md").split("\n## ")
    for package in PLAN:
        section = next(s for s in sections if s.startswith(f"{package}:"))
        cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
        listed = re.findall(r"`(\w+)`", " ".join(cells))
        assert sorted(listed) == sorted(importlib.import_module(package).__all__), package


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [n for n in NAMES if PYTHON.search(text(n)) and "/results/" not in n]
)
def test_examples_run(name: str, tmp_path: Path) -> None:
    for block in PYTHON.findall(text(name)):
        done = subprocess.run(
            [sys.executable, "-c", block],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
