"""Tables of devices over ssh: equal to local ones, through lost connections; one-line errors."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latency import build
from latency.builder import build as builder
from latency.builder.build import build_table
from latency.builder.config import BuildConfig
from latency.builder.grid import Grid
from latency.devices import remote
from latency.devices.remote import RemoteSession
from latency.devices.session import Timed
from latency.devices.ssh import SshTransport
from latency.devices.transport import MOST_BYTES
from latency.engines.null import RUN_S, block_s
from latency.engines.registry import get_engine
from latency.measure.cost import PROBED
from latency.measure.network import measure_networks
from latency.ondevice.host import chip, host_id
from latency.table.latency_table import LatencyTable
from latency.table.load import load_table
from space.common.errors import DroppedError
from space.network.block import Block
from space.zoo.families import shufflenet_v2
from tests.helpers import device_servers
from tests.helpers.process_transport import ProcessStream, ProcessTransport

TINY = Grid("tiny", stem=8, first=9, rest=12, head=9)
X = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[device_servers.SshServer]:
    monkeypatch.setattr(builder, "usual_grid", lambda **_: TINY)
    monkeypatch.setattr(remote, "BACKOFF_S", 0.02)
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path / "cache"))
    with device_servers.ssh_server(tmp_path) as found:
        monkeypatch.setenv("HOME", str(found.keys.home))
        yield found


def words(server: device_servers.SshServer, out: Path, engine: str = "null") -> list[str]:
    """The command line of a small build on that server."""
    device = f"ssh://{server.address}"
    return ["--device", device, "--engine", engine, "--coarse", "--networks", "4", "--out",
            str(out)]  # fmt: skip


def after(monkeypatch: pytest.MonkeyPatch, jobs: int, act: Callable[[], None]) -> list[int]:
    """Do something once, in the middle of the job after so many; a count of jobs asked for."""
    timed, counts = RemoteSession._time, [0]

    def timing(self: RemoteSession, *args: Any) -> Timed:
        counts[0] += 1
        if counts[0] == jobs:
            act()
        return timed(self, *args)

    monkeypatch.setattr(RemoteSession, "_time", timing)
    return counts


def table(path: Path) -> LatencyTable:
    found = load_table(path)
    assert isinstance(found, LatencyTable)
    return found


@pytest.mark.slow
def test_a_table_over_ssh_is_the_one_measured_here(
    server: device_servers.SshServer, tmp_path: Path
) -> None:
    assert build.main(words(server, tmp_path / "there")) == 0
    found = table(tmp_path / "there.json")
    config = BuildConfig(engine="null", coarse=True, networks=4, out=tmp_path / "here")
    here = build_table(config, log=lambda line: None)
    assert found.entries == here.entries
    header = found.header
    assert (header.device, header.engine, header.dtype) == (chip(), "null", "float32")
    assert header.host["id"] == host_id() and "load" in header.host["state_last"]
    assert header.network_error == here.header.network_error
    assert "ssh://" in header.command
    kept = sorted(p.name for p in (server.away / ".cache" / "g4nas").iterdir())
    assert len(kept) == 2 and kept[1] == "lock" and kept[0].startswith("g4nas-worker-")


@pytest.mark.slow
def test_goes_on_through_lost_connections(
    server: device_servers.SshServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    after(monkeypatch, 20, server.cut)
    assert build.main(words(server, tmp_path / "cut")) == 0
    assert re.search(r"was lost.*; try 1 of 6 in", capsys.readouterr().err)
    assert len(server.commands) == 2
    for block, measured in table(tmp_path / "cut.json").entries.items():
        start_s = RUN_S if block.kind == "stem" else 0.0
        assert measured.median_s == pytest.approx(block_s(block) + start_s, rel=2e-3)


@pytest.mark.slow
def test_an_unplugged_device_loses_nothing(
    server: device_servers.SshServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    counts = after(monkeypatch, 20, server.stop)
    out = tmp_path / "out"
    assert build.main(words(server, out)) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.search(
        r"cannot be reached: .*gave up after 6 tries: what was measured is kept", last
    )
    journal = out.with_suffix(".journal.jsonl")
    before = journal.read_bytes()
    jobs = before.count(b"\n") - 1
    # All but the job that was lost, and the probe: a first call, the reference, and all once more.
    assert 0 < counts[0] - 1 - jobs <= PROBED + 3 < counts[0]
    server.again()
    assert build.main(words(server, out)) == 0
    assert f"{jobs} jobs (about" in capsys.readouterr().err
    lines = out.with_suffix(".samples.jsonl").read_bytes()
    assert lines.startswith(before)
    keys = [(v["pass"], v["job"]) for v in map(json.loads, lines.splitlines()[1:])]
    assert len(set(keys)) == len(keys)
    assert len(table(out.with_suffix(".json")).entries) > 100


def test_two_hosts_never_mix(
    server: device_servers.SshServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = tmp_path / "out.journal.jsonl"
    journal.write_text(json.dumps({"device": chip(), "host": "another"}) + "\n")
    assert build.main(words(server, tmp_path / "out")) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if "warning" not in x]
    assert re.search(r"was begun with host 'another', this run has '[0-9a-f]{12}'", line)
    assert "another" in journal.read_text()


def one_line(capsys: pytest.CaptureFixture[str], words: list[str], status: int) -> str:
    assert build.main(words) == status
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1, err
    return err


def test_an_unknown_host_key(
    server: device_servers.SshServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (server.keys.ssh / "known_hosts").unlink()
    line = one_line(capsys, words(server, tmp_path / "x"), 1)
    assert re.search("the host key of ssh://.* is not in known_hosts: ssh there once", line)
    assert not server.commands


def test_another_host_key(
    server: device_servers.SshServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.keys.trust(server.port, server.keys.other)
    line = one_line(capsys, words(server, tmp_path / "x"), 1)
    assert "has another host key than known_hosts says: someone may be listening in" in line
    assert not server.commands


def test_no_key_that_the_device_takes(
    server: device_servers.SshServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.keys.other.write_private_key(server.keys.ssh / "id_ed25519")
    line = one_line(capsys, words(server, tmp_path / "x"), 1)
    assert "took none of this user's keys" in line and "passwords are not used" in line


def test_nobody_listens(
    server: device_servers.SshServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.stop()
    line = one_line(capsys, words(server, tmp_path / "x"), 1)
    assert re.search(r"ssh://tester@127.0.0.1:\d+ cannot be reached: .*refused|Connect", line)


def test_no_place_for_the_worker(
    server: device_servers.SshServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (server.away / ".cache").write_text("a file where a folder should be")
    line = one_line(capsys, words(server, tmp_path / "x"), 1)
    assert "the worker cannot be written to .cache/g4nas" in line


def test_no_python(server: device_servers.SshServer) -> None:
    transport = SshTransport(server.address, python="python-none")
    with pytest.raises(OSError, match=r"has no python-none: install Python 3\.9\+"):
        RemoteSession(transport, get_engine("null"))


def test_a_worker_that_crashes(server: device_servers.SshServer) -> None:
    transport = SshTransport(server.address, python="sh -c 'echo Illegal >&2; exit 3' #")
    with pytest.raises(OSError, match="the worker ended with status 3: Illegal"):
        RemoteSession(transport, get_engine("null"))


def test_a_name_of_the_users_ssh_config(server: device_servers.SshServer) -> None:
    (server.keys.ssh / "config").write_text(
        f"Host board\n  HostName 127.0.0.1\n  Port {server.port}\n  User tester\n"
    )
    with RemoteSession(SshTransport("board"), get_engine("null")) as session:
        assert session.where == "ssh://board"


def test_networks_on_a_device(server: device_servers.SshServer) -> None:
    nets = [shufflenet_v2(size) for size in ("0.5", "1.0", "1.5")]
    found = measure_networks(nets * 5, engine="null", rounds=2, device=f"ssh://{server.address}")
    expected = [RUN_S + sum(block_s(block) for block in net.blocks) for net in nets * 5]
    assert found == pytest.approx(expected)


class Changing(ProcessTransport):
    """A way that loses its connection once, after which another device may answer."""

    def __init__(self, folder: Path, **changed: str) -> None:
        super().__init__(folder)
        self.changed, self.starts, self.lines = changed, 0, 0

    def start(self) -> ProcessStream:
        self.starts += 1
        stream = super().start()
        readline, write = stream.readline, stream.write
        transport = self

        def lines(timeout_s: float, most_bytes: int = MOST_BYTES) -> bytes:
            answer = json.loads(readline(timeout_s, most_bytes))
            if "hello" in answer and transport.starts > 1:
                answer |= transport.changed
            if "times" in answer and transport.starts == 1:
                raise DroppedError("a process was lost")
            return json.dumps(answer).encode() + b"\n"

        stream.readline, stream.write = lines, write  # type: ignore[method-assign]
        return stream


@pytest.mark.slow
def test_an_idle_client_gives_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that ends after a second of silence is there after two."""
    monkeypatch.setattr(remote, "HEARTBEAT_S", 0.1)
    transport = ProcessTransport(tmp_path, env={**os.environ, "G4NAS_SILENCE_S": "1"})
    with RemoteSession(transport, get_engine("null")) as session:
        time.sleep(2)
        assert session.time([(X,)], rounds=1).times.shape == (1, 1)
    monkeypatch.setattr(remote, "HEARTBEAT_S", 60.0)
    with RemoteSession(transport, get_engine("null")) as session:
        time.sleep(2)
        with pytest.raises(OSError, match="the worker ended with status 0"):
            session.time([(X,)], rounds=1)


def test_the_same_device_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BACKOFF_S", 0.0)
    said: list[str] = []
    with RemoteSession(Changing(tmp_path), get_engine("null"), log=said.append) as session:
        times = session.time([(X,)], rounds=2).times
    np.testing.assert_allclose(times, RUN_S + block_s(X))
    assert said == ["a process was lost; try 1 of 6 in 0 s"]


def test_another_device_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BACKOFF_S", 0.0)
    transport = Changing(tmp_path, chip="Cortex-A53")
    with (
        RemoteSession(transport, get_engine("null")) as session,
        pytest.raises(
            OSError, match="is now another device, Cortex-A53 with 1: connect the first"
        ),
    ):
        session.time([(X,)], rounds=2)


def test_no_table_of_an_emulated_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transport = ProcessTransport(tmp_path, emulation="it was started so")
    session = RemoteSession(transport, get_engine("null"))
    session.engine = "onnxruntime"
    with (
        session,
        pytest.raises(ValueError, match=r"emulated \(it was started so\): its wall time is not"),
    ):
        build_table(BuildConfig(out=tmp_path / "t"), session=session)
    assert not list(tmp_path.glob("t*"))
