"""The microbenchmarks on other devices: over ssh, over adb, and on this host's GPU."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from latency import guidelines
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


def test_each_device_has_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path))
    devices = ("cpu", "gpu", "ssh://pi@board:22")
    stems = [MicrobenchmarkConfig(device=device).stem for device in devices]
    folders = ["guidelines", "guidelines-gpu", "guidelines-ssh-pi-board-22"]
    assert [stem.parent.name for stem in stems] == folders
    assert {stem.name for stem in stems} == {"guidelines"}
    assert MicrobenchmarkConfig(device="gpu", out=tmp_path / "x").stem.parent == tmp_path / "x"


def test_dtypes_share_a_folder(tmp_path: Path) -> None:
    names = [
        MicrobenchmarkConfig(device="gpu", dtype=dtype, out=tmp_path).stem.name
        for dtype in ("float32", "tf32", "float16")
    ]
    assert names == ["guidelines", "guidelines-tf32", "guidelines-float16"]
