"""What every session keeps, wherever its engine runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from latency.devices.adb import AdbTransport
from latency.devices.local import LocalSession
from latency.devices.open import open_session
from latency.devices.remote import RemoteSession
from latency.devices.session import Session
from latency.devices.ssh import SshTransport
from latency.devices.transport import ProcessTransport, Transport
from latency.engines.null import RUN_S, block_s
from latency.engines.registry import get_engine
from latency.ondevice import host
from space.network.block import Block
from space.zoo.families import shufflenet_v2
from tests.helpers import device_servers, fake_adb

X = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)
BIG = shufflenet_v2("0.5", 64, 64).blocks
WAYS = ("local", "process", "ssh", "adb", pytest.param("sshd", marks=pytest.mark.slow))


@pytest.fixture(params=WAYS)
def opened(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    downloads: Path,
) -> Iterator[Callable[..., Session]]:
    """opened(engine name, ...): a session, ended with the test."""
    with ExitStack() as stack:

        def transport() -> Transport:
            if request.param == "process":
                return ProcessTransport(tmp_path / "device")
            if request.param == "adb":
                phone = stack.enter_context(fake_adb.fake_adb(tmp_path / "adb", monkeypatch))
                phone.tool("python3", f'exec {sys.executable} "$@"')
                return AdbTransport(fake_adb.SERIAL)
            if request.param == "ssh":
                server = stack.enter_context(device_servers.ssh_server(tmp_path))
            else:
                try:
                    server = stack.enter_context(device_servers.sshd(tmp_path, downloads))
                except OSError as error:
                    pytest.skip(f"no sshd here: {error}")
            monkeypatch.setenv("HOME", str(server.keys.home))
            return SshTransport(server.address)

        def opened(engine: str = "null", **options: int) -> Session:
            if request.param == "local":
                return stack.enter_context(LocalSession(get_engine(engine, **options)))
            writer = get_engine(engine, here=False, **options)
            return stack.enter_context(RemoteSession(transport(), writer))

        yield opened


class TestSession:
    def test_says_what_it_is(self, opened: Callable[..., Session]) -> None:
        session = opened(threads=2)
        assert (session.engine, session.engine_version) == ("null", "1")
        assert (session.threads, session.dtype) == (2, "float32")
        assert session.chip == host.chip()
        known_by_serial_number = session.where.startswith("adb://")
        assert known_by_serial_number or session.host == host.host_id()
        assert session.host_info["machine"] == os.uname().machine
        assert session.emulation == host.emulation()
        assert session.where

    def test_times_are_the_engines(self, opened: Callable[..., Session]) -> None:
        session = opened(threads=2)
        timed = session.time([(X,), (X, X), BIG], batch=3, rounds=4)
        works = [3 * sum(map(block_s, chain)) / 2 for chain in ((X,), (X, X), BIG)]
        expected = [[RUN_S + work] * 4 for work in works]
        np.testing.assert_allclose(timed.times, expected)
        assert timed.wall_s >= timed.prepare_s >= 0 and timed.processor_s >= 0

    def test_job_after_job(self, opened: Callable[..., Session]) -> None:
        session = opened()
        for chain in ((X,), (X, X), (X,)):
            (times,) = session.time([chain], rounds=1, steady=True).times
            assert times == pytest.approx(RUN_S + len(chain) * block_s(X))

    def test_one_chain_twice_in_a_job(self, opened: Callable[..., Session]) -> None:
        first, second = opened().time([(X,), (X,)], rounds=1).times
        assert first == pytest.approx(second)

    @pytest.mark.slow
    def test_a_real_engine(self, opened: Callable[..., Session]) -> None:
        """Longer chains take longer, and the outputs are those of the engine in this process."""
        session = opened("onnxruntime")
        unit = Block("shufflenet_v2", 28, 28, c_in=64, c_out=64, branch=32)
        short, long = np.median(session.time([(unit,), (unit,) * 8], rounds=5).times, axis=1)
        assert 0 < 2 * short < long
        (found,) = session.outputs((X, X))  # type: ignore[attr-defined]
        (expected,) = LocalSession(get_engine("onnxruntime")).outputs((X, X))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


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
