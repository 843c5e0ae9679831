"""The commands that the README and the docs show: each is understood, and the quick ones run."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGES = ("space", "latency", "evaluator", "search")
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    .*\n)+", re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
MAIN = "python -m search.run --target arm --budget 146M"
# What makes a command long, needs what another command made or a device, or judges how well times
# repeat, which a busy machine fails.
DEAR = ("latency.build", "search.reproduce", "search.ablation", "evaluator.", "out/", "cpu",
        "samplers", "latency.guidelines", "latency.estimate", "latency.validate",
        "--data", "--check")  # fmt: skip


def commands(text: str) -> list[str]:
    """Every `python -m ...` line of the code blocks, without what consoles answer."""
    found = []
    for block in (*FENCE.findall(text), *INDENTED.findall(FENCE.sub("", text))):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.strip().removeprefix("$ ").partition(" #")[0].strip()
            if words.startswith("python -m "):
                found.append(words)
    return found


def inline_commands(text: str) -> list[str]:
    """Every `python -m ...` of the prose, which need not be complete."""
    found = INLINE.findall(FENCE.sub("", text))
    return [words for words in found if words.startswith("python -m ")]


def command_modules() -> list[str]:
    """The names after `python -m`: modules of a package's root and packages with `__main__`."""
    paths = [path for room in PACKAGES for path in (ROOT / room).glob("*.py")]
    paths += [path for room in PACKAGES for path in (ROOT / room).glob("*/__main__.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return sorted(name.removesuffix(".__main__") for name in names if "__init__" not in name)


@cache
def parser(name: str) -> argparse.ArgumentParser:
    """The parser of a command."""
    inner = f"{name}.__main__" if (ROOT / name.replace(".", "/")).is_dir() else name
    made = importlib.import_module(inner).parser()
    assert isinstance(made, argparse.ArgumentParser)
    return made


@cache
def options(name: str) -> frozenset[str]:
    """The options that a command's help lists."""
    return frozenset(OPTION.findall(parser(name).format_help()))


TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text("utf-8") for page in PAGES}
SHOWN = sorted({command for text in TEXTS.values() for command in commands(text)})
QUICK = [command for command in SHOWN if not any(word in command for word in DEAR)]


def test_reader_of_pages() -> None:
    text = (
        "```sh\npython -m a.b --c 1  # why\nmake run\n```\n```console\n$ python -m c \\\n  --d\n"
        "python says\n```\n```\n$ python -m g\n```\n\n"
        "    python -m e    # why\n    python -m f\nThen `python -m h --i` and\npython -m no\n"
    )
    assert commands(text) == [
        "python -m a.b --c 1",
        "python -m c    --d",
        "python -m g",
        "python -m e",
        "python -m f",
    ]
    assert inline_commands(text) == ["python -m h --i"]


def test_the_main_job_is_shown() -> None:
    assert MAIN in commands(TEXTS["README.md"])
    assert MAIN in QUICK


@pytest.mark.parametrize("command", SHOWN)
def test_options_are_understood(command: str) -> None:
    """The command's own parser takes the words; nothing runs."""
    _, _, name, *words = shlex.split(command)
    assert parser(name).parse_args(words) is not None


@pytest.mark.parametrize("page", TEXTS)
def test_commands_and_options_of_the_prose_exist(page: str) -> None:
    for command in inline_commands(TEXTS[page]):
        _, _, name, *words = shlex.split(command)
        assert name in command_modules(), command
        assert set(OPTION.findall(" ".join(words))) <= options(name), command
    known = set().union(*(options(name) for name in command_modules()))
    prose = " ".join(INLINE.findall(FENCE.sub("", TEXTS[page])))
    assert sorted(set(OPTION.findall(prose)) - known) == []


def test_every_command_is_documented() -> None:
    """In the README's table and on the page of commands."""
    for page in ("README.md", "docs/reference/commands.md"):
        rows = [line.split("|")[1] for line in TEXTS[page].splitlines() if line.startswith("| `")]
        named = set(re.findall(r"`(?:python -m )?([\w.]+)`", " ".join(rows)))
        assert [name for name in command_modules() if name not in named] == [], page


@pytest.mark.slow
@pytest.mark.parametrize("command", QUICK)
def test_quick_commands_run(command: str, tmp_path: Path) -> None:
    """From a copy of the packages, so that files they make are not left in the checkout. The main
    job as written; other searches differ in target and budget only and get fewer trials."""
    fewer = ["--trials", "20"] if "search.run" in command and command != MAIN else []
    for room in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__", "*.jsonl")
        shutil.copytree(ROOT / room, tmp_path / room, ignore=ignore)
    done = subprocess.run(
        [sys.executable, *shlex.split(command)[1:], *fewer],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()
    assert "Traceback" not in done.stderr
