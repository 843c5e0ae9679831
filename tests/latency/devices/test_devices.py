"""Every session keeps the contract, wherever its engine runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from latency.devices import adb, ssh
from latency.devices.adb import AdbTransport
from latency.devices.local import LocalSession
from latency.devices.open import open_session
from latency.devices.remote import RemoteSession
from latency.devices.session import Session
from latency.devices.ssh import SshTransport
from latency.devices.testing import UNIT, AnswersContract, SessionContract
from latency.devices.transport import Transport
from latency.engines.registry import get_engine
from latency.ondevice import host
from space.network.block import Block
from tests.helpers import device_servers, fake_adb
from tests.helpers.process_transport import ProcessTransport

SLOW_WAYS = [pytest.param(way, marks=pytest.mark.slow) for way in ("ssh", "adb")]
WAYS = ("local", "process", "ssh", "adb", pytest.param("sshd", marks=pytest.mark.slow))


class TestSessions(SessionContract):
    """Every way to reach a device; the device is this machine."""

    @pytest.fixture(autouse=True, params=WAYS)
    def way(
        self,
        request: pytest.FixtureRequest,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        downloads: Path,
    ) -> Iterator[None]:
        self.kind: str = request.param
        self.folder, self.patch, self.downloads = tmp_path, monkeypatch, downloads
        with ExitStack() as self.stack:
            yield

    def transport(self) -> Transport:
        if self.kind == "process":
            return ProcessTransport(self.folder / "device")
        if self.kind == "adb":
            server = fake_adb.fake_adb(self.folder / "adb", self.patch)
            phone = self.stack.enter_context(server)
            phone.tool("python3", f'exec {sys.executable} "$@"')
            return AdbTransport(fake_adb.SERIAL)
        found: device_servers.SshServer | device_servers.Sshd
        if self.kind == "ssh":
            found = self.stack.enter_context(device_servers.ssh_server(self.folder))
        else:
            try:
                found = self.stack.enter_context(device_servers.sshd(self.folder, self.downloads))
            except OSError as error:
                pytest.skip(f"no sshd here: {error}")
        self.patch.setenv("HOME", str(found.keys.home))
        return SshTransport(found.address)

    def open_session(self, threads: int = 1, engine: str = "null") -> Session:
        if self.kind == "local":
            return LocalSession(get_engine(engine, threads=threads))
        return RemoteSession(self.transport(), get_engine(engine, threads=threads, here=False))

    def test_the_device_is_this_machine(self) -> None:
        with self.open_session() as session:
            assert session.chip == host.chip()
            assert session.host == host.host_id() or session.where.startswith("adb://")
            assert session.host_info["machine"] == os.uname().machine
            assert session.emulation == host.emulation()

    @pytest.mark.slow
    def test_a_real_engine(self) -> None:
        """Longer chains take longer, and the outputs are those of the engine in this process."""
        unit = Block("shufflenet_v2", 28, 28, c_in=64, c_out=64, branch=32)
        with self.open_session(engine="onnxruntime") as session:
            times = session.time([(unit,), (unit,) * 8], rounds=5).times
            (found,) = session.outputs((UNIT, UNIT))
        short, long = np.median(times, axis=1)
        assert 0 < 2 * short < long
        (expected,) = LocalSession(get_engine("onnxruntime")).outputs((UNIT, UNIT))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


class TestAnswers(AnswersContract):
    """Every way to reach a device, with another program in place of the server."""

    @pytest.fixture(autouse=True, params=("process", *SLOW_WAYS))
    def way(
        self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[None]:
        monkeypatch.setattr(ssh, "GOODBYE_S", 0.2)
        monkeypatch.setattr(adb, "GOODBYE_S", 0.2)
        with ExitStack() as stack:
            if request.param == "ssh":
                server = stack.enter_context(device_servers.ssh_server(tmp_path))
                monkeypatch.setenv("HOME", str(server.keys.home))
                self.transport: Callable[[Path], Transport] = lambda program: SshTransport(
                    server.address, python=f"{sys.executable} {program}"
                )
            elif request.param == "adb":
                phone = stack.enter_context(fake_adb.fake_adb(tmp_path / "adb", monkeypatch))

                def transport(program: Path) -> Transport:
                    run = f"exec {sys.executable} {program}"
                    phone.tool("python3", f"case $1 in -c) echo python True;; *) {run};; esac")
                    return AdbTransport(fake_adb.SERIAL)

                self.transport = transport
            else:
                self.transport = lambda program: ProcessTransport(
                    tmp_path / "device", python=[sys.executable, str(program)]
                )
            yield

    def open_worker(self, program: Path) -> Session:
        return RemoteSession(self.transport(program), get_engine("null", here=False))

    @pytest.mark.slow
    def test_a_hostile_answer_is_one_line(self) -> None:
        super().test_a_hostile_answer_is_one_line()


@pytest.mark.parametrize(
    ("device", "engine", "told"),
    [
        ("tpu", "null", "a device must be cpu, gpu, ssh://"),
        ("ssh://", "null", "a device must be cpu, gpu, ssh://"),
        ("ftp://host", "null", "a device must be cpu, gpu, ssh://"),
        ("gpu", "null", "--device gpu needs an engine that runs there"),
        ("cpu", "torch-cuda", "--device cpu needs an engine that runs there"),
        ("ssh://me:secret@host", "null", r"without a password; got ssh://host$"),
        ("ssh://host:port", "null", r"must be ssh://\[user@\]host\[:port\]"),
        ("ssh://host/folder", "null", r"must be ssh://\[user@\]host\[:port\]"),
        ("ssh://host", "torch", "engine torch runs on this machine alone"),
    ],
)
def test_no_such_device(device: str, engine: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        open_session(device, engine)


def test_without_asyncssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(ImportError, match="pip install asyncssh"):
        open_session("ssh://host", "null")
