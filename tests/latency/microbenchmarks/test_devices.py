"""The microbenchmarks on other devices: over ssh, over adb, and on this host's GPU."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latency import guidelines
from latency.devices.open import open_session
from latency.devices.session import Session
from latency.microbenchmarks import run
from latency.microbenchmarks.timing import MicrobenchmarkConfig
from latency.ondevice.host import chip
from tests.helpers import device_servers, fake_adb

WORDS = ["--engine", "null", "--rounds", "2", "--format", "json"]
LOCAL = ("command", "date", "commit", "noise", "host", "versions")  # differ between two runs


@pytest.fixture
def remote(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The --device of this machine, reached over ssh or adb."""
    if request.param == "ssh":
        with device_servers.ssh_server(tmp_path) as server:
            monkeypatch.setenv("HOME", str(server.keys.home))
            yield f"ssh://{server.address}"
    else:
        with fake_adb.fake_adb(tmp_path / "adb", monkeypatch) as phone:
            phone.tool("python3", f'exec {sys.executable} "$@"')
            yield f"adb://{fake_adb.SERIAL}"


@pytest.mark.slow
@pytest.mark.parametrize("remote", ["ssh", "adb"], indirect=True)
def test_another_device_is_measured_as_this_one(
    remote: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guidelines.main(["--device", remote, *WORDS, "--out", str(tmp_path / "there")]) == 0
    there = json.loads(capsys.readouterr().out)
    assert guidelines.main([*WORDS, "--out", str(tmp_path / "here")]) == 0
    here = json.loads(capsys.readouterr().out)
    assert {k: v for k, v in there.items() if k not in LOCAL} == {
        k: v for k, v in here.items() if k not in LOCAL
    }
    assert remote in there["command"] and there["device"] == chip()
    assert "affinity" in there["host"] and "python" in there["versions"]
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [
        "guidelines.json", "guidelines.png", "guidelines.samples.jsonl",
    ]  # fmt: skip


@pytest.mark.parametrize("remote", ["ssh", "adb"], indirect=True)
def test_an_engine_that_runs_here_only(remote: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert guidelines.main(["--device", remote, "--engine", "torch"]) == 2
    said = capsys.readouterr().err
    assert "engine torch runs on this machine alone" in said and said.count("\n") == 1


def test_no_device_at_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with fake_adb.fake_adb(tmp_path, monkeypatch) as phone:
        phone.state = None
        words = ["--device", f"adb://{fake_adb.SERIAL}", *WORDS, "--out", str(tmp_path / "out")]
        assert guidelines.main(words) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_gpu_is_measured_where_its_engine_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[tuple[str, str]] = []

    def null_session(device: str, engine: str, **options: Any) -> Session:
        opened.append((device, engine))
        return open_session("cpu", "null")

    monkeypatch.setattr(run, "open_session", null_session)
    words = ["--device", "gpu", "--engine", "torch-cuda", "--columns", "gpu", "--rounds", "2"]
    assert guidelines.main([*words, "--format", "json", "--out", str(tmp_path)]) == 0
    assert opened == [("gpu", "torch-cuda")]
    found = json.loads(capsys.readouterr().out)
    assert (found["source"], found["columns"]) == ("measured", "gpu")


def test_each_device_has_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path))
    devices = ("cpu", "gpu", "ssh://pi@board:22")
    names = [MicrobenchmarkConfig(device=device).folder.name for device in devices]
    assert names == ["guidelines", "guidelines-gpu", "guidelines-ssh-pi-board-22"]
    assert MicrobenchmarkConfig(device="gpu", out=tmp_path / "x").folder == tmp_path / "x"
