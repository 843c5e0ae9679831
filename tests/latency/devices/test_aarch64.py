"""The server and the engines' aarch64 code under QEMU: outputs as on this host, and no table."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from latency.builder.build import build_table
from latency.builder.config import BuildConfig
from latency.devices.archive import has_runner, server_archive
from latency.devices.local import LocalSession
from latency.devices.remote import RemoteSession
from latency.devices.sysroot import Sysroot, arm64_sysroot
from latency.engines.registry import ENGINES, get_engine
from latency.measure.network import time_networks
from space.network.block import Block
from space.zoo.families import shufflenet_v2
from tests.helpers.process_transport import ProcessTransport

pytestmark = pytest.mark.slow
CORE = "cortex-a76"
STEM = Block("stem", 32, 32, c_out=24)
UNIT = Block("shufflenet_v2", 14, 14, c_in=58, c_out=58, branch=29)
DOWN = Block("shufflenet_v2", 14, 14, c_in=24, c_out=116, branch=58, stride=2)
CHAINS = ((UNIT,), (UNIT,) * 3, (DOWN,), (STEM,))


@pytest.fixture(scope="module")
def sysroot(downloads: Path) -> Sysroot:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("G4NAS_CACHE", str(downloads))
        try:
            return arm64_sysroot(["numpy"])
        except OSError as error:
            pytest.skip(f"no aarch64 sysroot here: {error}")


@pytest.fixture(scope="module")
def device(sysroot: Sysroot, tmp_path_factory: pytest.TempPathFactory) -> ProcessTransport:
    """An aarch64 machine with Python and no packages. That it is emulated is not said."""
    variables = sysroot.environment()
    environment = {k: v for k, v in variables.items() if not k.startswith("PYTHONP")}
    command = [str(sysroot.qemu), "-cpu", CORE, "-L", str(sysroot.root), str(sysroot.interpreter)]
    folder = tmp_path_factory.mktemp("device")
    return ProcessTransport(folder, command, env=environment, where="an emulated Cortex-A76")


@pytest.mark.parametrize("engine", ["onnxruntime", "ncnn"])
def test_an_engine_runs_there(
    engine: str,
    device: ProcessTransport,
    downloads: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its wheels are pushed; its outputs are this machine's; its times come and are refused."""
    if engine not in ENGINES or not has_runner(engine):
        pytest.skip(f"there is no engine {engine} yet")
    monkeypatch.setenv("G4NAS_CACHE", str(downloads))
    said: list[str] = []
    try:
        here = LocalSession(get_engine(engine))
    except ImportError as error:
        pytest.skip(f"no outputs to compare with: {error}")
    with RemoteSession(device, get_engine(engine, here=False), log=said.append) as session:
        assert f"pushing {engine}" in said[-1]
        assert "Cortex-A76" in session.chip and session.host_info["machine"] == "aarch64"
        assert session.versions["python"].startswith("3.")
        assert "QEMU" in session.emulation
        times = session.time(CHAINS, rounds=2).times
        assert times.shape == (4, 2) and (times > 0).all()
        for chain in CHAINS:
            (found,), (expected,) = session.outputs(chain), here.outputs(chain)
            assert found.shape == expected.shape and np.ptp(expected) > 0
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.ptp(expected))
        with pytest.raises(ValueError, match=r"an emulated Cortex-A76 is emulated .* not latency"):
            time_networks(session, [shufflenet_v2("0.5")])
        out = tmp_path / "table.json"
        with pytest.raises(ValueError, match=r"its wall time is not latency, so no table"):
            build_table(BuildConfig(engine=engine, out=out), session=session)
    assert not out.exists()


def test_every_sign_of_emulation_by_itself(sysroot: Sysroot, tmp_path: Path) -> None:
    """The name in /proc/cpuinfo is this sysroot's own; the others are what QEMU cannot hide."""
    name, data = server_archive()
    (tmp_path / name).write_bytes(data)
    (tmp_path / "signs.py").write_text(
        f"import json, sys; sys.path.insert(0, {str(tmp_path / name)!r})\n"
        "from latency.ondevice import host\n"
        "found = [host.emulation()]\n"
        "host.cpuinfo = lambda: ()\n"
        "host.emulation.cache_clear(); found.append(host.emulation())\n"
        "host._elf_family = lambda path: ''\n"
        "host.emulation.cache_clear(); found.append(host.emulation())\n"
        "print(json.dumps([*found, host.instruction_ratio(), host.RATIO_LIMIT]))\n"
    )
    done = subprocess.run(
        sysroot.command(CORE, tmp_path / "signs.py"), env=sysroot.environment(),
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    named, program, link, ratio, limit = json.loads(done.stdout)
    assert named == "its processor is called QEMU"
    assert program == f"a program for {os.uname().machine[:3]} runs this one for arm"
    assert link.startswith("qemu-aarch64")
    assert ratio > limit
