"""The commands that the README and the docs show: each is understood, and the quick ones run."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [p for p in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if p.exists()]
FENCE = re.compile(r"^```(?:sh|console|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    (python -m [^\[\n]+)$", re.MULTILINE)  # [...]: a synopsis
MAIN = "python -m search.run --target arm --budget 146M"
# What makes a command long, or needs what another command made or a device.
DEAR = ("latency.build", "search.reproduce", "search.ablation", "evaluator.", "out/", "cpu",
        "samplers", "latency.guidelines", "latency.estimate", "latency.validate",
        "--data")  # fmt: skip


def commands(text: str) -> list[str]:
    """Every `python -m ...` of the shell and indented blocks, without what consoles answer."""
    found = []
    for block in (*FENCE.findall(text), *INDENTED.findall(text)):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.removeprefix("$ ").partition(" #")[0].strip()
            if words.startswith("python -m "):
                found.append(words)
    return found


SHOWN = sorted({command for page in PAGES for command in commands(page.read_text("utf-8"))})
QUICK = [command for command in SHOWN if not any(word in command for word in DEAR)]


def test_reader_of_pages() -> None:
    text = (
        "```sh\npython -m a.b --c 1  # why\nmake run\n```\n```console\n$ python -m c \\\n  --d\n"
        "python says\n```\n```python\npython -m no\n```\n\n"
        "    python -m e    # why\n    python -m f [--g]\nThen python -m h\n"
    )
    assert commands(text) == ["python -m a.b --c 1", "python -m c    --d", "python -m e"]


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="there is no README.md yet")
def test_the_main_job_is_shown() -> None:
    assert MAIN in QUICK


@pytest.mark.parametrize("command", SHOWN)
def test_options_are_understood(command: str) -> None:
    """The command's own parser takes the words; nothing runs."""
    _, _, name, *words = shlex.split(command)
    words = [word for word in words if word not in (">", "|")]
    module = importlib.import_module(name)
    parser = getattr(module, "parser", None) or getattr(module, "_parser", None)
    if parser is None:
        pytest.skip(f"{name} has no parser of its own")
    assert parser().parse_args(words) is not None


@pytest.mark.slow
@pytest.mark.parametrize("command", QUICK)
def test_quick_commands_run(command: str, tmp_path: Path) -> None:
    """From a copy of the packages, so that files they make are not left in the checkout. The main
    job as written; other searches differ in target and budget only and get fewer trials."""
    fewer = ["--trials", "20"] if "search.run" in command and command != MAIN else []
    for room in ("space", "latency", "evaluator", "search"):
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
