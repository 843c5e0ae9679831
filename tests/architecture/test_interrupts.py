"""Ctrl-C ends every command that works for long: one line, no traceback, exit status 130."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.architecture.house import ROOT
from tests.helpers.images import TINY, image_folder

# Words of a command that works for many seconds; DATA and OUT are folders.
COMMANDS = {
    "search.run": "--target arm --budget 146M --trials 9999 --out OUT",
    "search.ablation": "--trials 9999",
    "search.reproduce": "--seeds 99 --trials 9999",
    "search.benchmark samplers": "--trials 9999",
    "search.benchmark scoring": "--repeats 999",
    "latency.build": "--networks 900 --out OUT/t.json",
    "latency.engines": "--engines onnxruntime --network ShuffleNet+v2+1.0x --rounds 99999",
    "latency.guidelines": "--rounds 9999 --out OUT",
    "evaluator.train": f"{TINY.replace(' ', '+')} --data DATA --out OUT --workers 1",
    "evaluator.measured": "--data DATA --out OUT/m.csv --epochs 99",
}


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.5, 3.0])
@pytest.mark.parametrize("command", COMMANDS)
def test_one_line_and_status_130(command: str, after_s: float, tmp_path: Path) -> None:
    """The signal goes to the whole group of processes, as a terminal sends it."""
    image_folder(tmp_path / "data", each=20)
    places = {"OUT": str(tmp_path / "out"), "DATA": str(tmp_path / "data")}
    words = [*command.split(), *COMMANDS[command].split()]
    for name, path in places.items():
        words = [word.replace(name, path).replace("+", " ") for word in words]
    with subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={**os.environ, "G4NAS_CACHE": str(tmp_path / "cache")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        time.sleep(after_s)
        assert process.poll() is None, "ended before the signal"
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    name = command.partition(" ")[0]
    assert "Traceback" not in err
    assert process.returncode == 130, err
    assert err.splitlines()[-1].startswith(f"{name}: "), err
    assert sum(line.startswith(f"{name}: ") for line in err.splitlines()) == 1, err
    assert list(tmp_path.rglob(".*.part*")) == []
