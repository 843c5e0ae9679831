"""Devices over adb: what is pushed, how a worker starts there, and errors in a line."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from latency.devices import adb, remote
from latency.devices.adb import AdbTransport, PushedPython
from latency.devices.open import open_session
from latency.devices.remote import RemoteSession
from latency.devices.sysroot import arm64_sysroot
from latency.engines.null import RUN_S, block_s
from latency.engines.registry import get_engine
from latency.ondevice.host import host_id
from space.network.block import Block
from tests.helpers import fake_adb

X = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)
WHERE = f"adb://{fake_adb.SERIAL}"


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fake_adb.FakeAdb]:
    monkeypatch.setattr(remote, "BACKOFF_S", 0.2)
    with fake_adb.fake_adb(tmp_path / "adb", monkeypatch) as server:
        server.tool("python3", f'exec {sys.executable} "$@"')
        yield server


def without_python(phone: fake_adb.FakeAdb, machine: str = "aarch64", free: int = 10**7) -> None:
    phone.tool("python3", "exit 127")
    phone.tool("uname", f"echo {machine}")
    phone.tool("df", f"echo '/dev/block/dm-5 110000000 1 {free} 99% /data'")


def test_a_device_with_python(phone: fake_adb.FakeAdb) -> None:
    with open_session(WHERE, "null") as session:
        times = session.time([(X,), (X, X)], rounds=2).times
        np.testing.assert_allclose(times[:, 0], [RUN_S + n * block_s(X) for n in (1, 2)])
        assert session.host != host_id()  # the serial number tells phones apart
    (started,) = [c for c in phone.commands if "exec " in c]
    assert re.search(r"exec python3 /data/local/tmp/g4nas/g4nas-worker-\w+\.pyz /data", started)
    folder = phone.folder / "g4nas"
    assert sorted(p.name[:6] for p in folder.iterdir()) == ["errors", "g4nas-", "lock"]


def test_the_worker_is_pushed_once(phone: fake_adb.FakeAdb) -> None:
    written: list[str] = []
    phone.write = lambda path, data: written.append(path)
    for _ in range(2):
        open_session(WHERE, "null").close()
    assert len(written) == 1 and written[0].endswith(".pyz")


@pytest.mark.slow
def test_a_lost_connection(phone: fake_adb.FakeAdb) -> None:
    said: list[str] = []
    with RemoteSession(AdbTransport(fake_adb.SERIAL), get_engine("null"), log=said.append) as s:
        first = s.time([(X,)], rounds=2).times
        phone.unplug()
        phone.state = "offline"

        def back(line: str) -> None:
            said.append(line)
            if "try 3" in line:
                phone.state = "device"

        s._log = back
        np.testing.assert_array_equal(s.time([(X,)], rounds=2).times, first)
    assert (
        "was lost; try 1 of 6" in said[0]
        and f"{WHERE} is offline: plug it in again; try 2" in said[1]
    )


@pytest.mark.slow
def test_unplugged_for_good(phone: fake_adb.FakeAdb) -> None:
    with open_session(WHERE, "null") as session:
        phone.unplug()
        with pytest.raises(
            ConnectionError, match="adb devices shows: none; gave up after 6 tries"
        ):
            session.time([(X,)], rounds=2)


def test_the_worker_ends_with_its_client(phone: fake_adb.FakeAdb) -> None:
    session = open_session(WHERE, "null")
    runs = phone.folder / "g4nas"
    assert len(list(runs.glob("run-*"))) == 1
    phone.unplug()
    for _ in range(100):
        if not list(runs.glob("run-*")):
            break
        __import__("time").sleep(0.05)
    assert not list(runs.glob("run-*"))
    session.close()


def refusal(device: str = WHERE) -> str:
    """The one line of an OSError about no file: a command ends with status 1."""
    with pytest.raises(OSError, match=device) as caught:
        open_session(device, "null")
    assert "\n" not in str(caught.value) and caught.value.filename is None
    return str(caught.value)


def test_no_such_serial(phone: fake_adb.FakeAdb) -> None:
    expected = f"adb://OTHER is not connected; adb devices shows: {fake_adb.SERIAL}"
    assert refusal("adb://OTHER") == expected


def test_not_authorized(phone: fake_adb.FakeAdb) -> None:
    phone.state = "unauthorized"
    assert "accept this computer's key on its screen" in refusal()


def test_no_adb_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    monkeypatch.setattr(adb, "which", lambda name: None)
    assert "no adb server on this machine" in refusal()


def test_a_full_device(phone: fake_adb.FakeAdb) -> None:
    def full(path: str, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    phone.write = full
    line = refusal()
    assert re.search(r"worker-\w+\.pyz cannot be written \(is it full\?\)", line)


PYTHON = PushedPython("python-1", b"tar", "3.11")


def test_no_room_for_a_python(phone: fake_adb.FakeAdb, monkeypatch: pytest.MonkeyPatch) -> None:
    without_python(phone, free=3 * 1024)
    monkeypatch.setattr(adb, "debian_python", lambda log: PYTHON)
    assert "is full: a Python needs 64 MiB in /data/local/tmp/g4nas, 3 MiB" in refusal()


def test_another_architecture(phone: fake_adb.FakeAdb) -> None:
    without_python(phone, machine="armv7l")
    assert "must have Python 3.9 or newer, or be aarch64; it is armv7l" in refusal()


def test_a_python_that_is_cut_off(
    phone: fake_adb.FakeAdb, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_python(phone)
    monkeypatch.setattr(adb, "debian_python", lambda log: PYTHON)
    assert "Python cannot be unpacked there: tar: " in refusal()
    assert not list((phone.folder / "g4nas").iterdir())


def test_a_worker_that_crashes(phone: fake_adb.FakeAdb) -> None:
    phone.tool(
        "python3", "case $1 in -c) echo python True;; *) echo CANNOT LINK >&2; exit 1; esac"
    )
    with pytest.raises(OSError, match=f"{WHERE}: the worker ended: CANNOT LINK"):
        open_session(WHERE, "null")


def test_without_adbutils(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbutils", None)
    with pytest.raises(ImportError, match="pip install adbutils"):
        open_session(WHERE, "null")


def test_how_a_pushed_python_starts() -> None:
    assert PYTHON.command("/d/p") == (
        "env PYTHONHOME=/d/p/usr LD_LIBRARY_PATH= LD_PRELOAD= LANG=C.UTF-8 "
        "/d/p/lib/ld-linux-aarch64.so.1 --library-path "
        "/d/p/lib/aarch64-linux-gnu:/d/p/usr/lib/aarch64-linux-gnu /d/p/usr/bin/python3.11"
    )


@pytest.mark.slow
def test_debians_python_starts_by_its_own_linker(
    phone: fake_adb.FakeAdb,
    downloads: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of the way to a phone but the phone: QEMU stands for its processor, with no -L, so that
    nothing of the sysroot is found but through the linker's --library-path. With ncnn: where QEMU
    7.2 shows it an x86 /proc/cpuinfo, onnxruntime crashes."""
    monkeypatch.setenv("G4NAS_CACHE", str(downloads))
    without_python(phone)
    try:
        qemu = arm64_sysroot(["numpy"]).qemu
    except OSError as error:
        pytest.skip(f"no aarch64 sysroot here: {error}")
    root = f"{adb.FOLDER}/{adb.debian_python().name}"
    linker = f"{root}/lib/ld-linux-aarch64.so.1 "
    phone.replace = {f"C.UTF-8 {linker}": f"C.UTF-8 {qemu} -cpu cortex-a76 {linker}"}
    said: list[str] = []
    with open_session(WHERE, "ncnn", log=said.append) as session:
        assert [line.split(" to ")[0] for line in said if "pushing" in line] == [
            "pushing Python", "pushing ncnn",
        ]  # fmt: skip
        assert session.host_info["machine"] == "aarch64" and session.emulation
        times = session.time([(X,), (X, X)], rounds=1).times
        assert times.shape == (2, 1) and (times > 0).all()
    said.clear()
    with open_session(WHERE, "ncnn", log=said.append):
        assert not said  # all of it is there


@pytest.mark.parametrize(
    ("listing", "told"),
    [
        (b"OTHER\tdevice\nFAKE01\tunauthorized\r\n", "accept this computer's key"),
        (b"FAKE01\toffline\n", "is offline: plug it in again"),
        (b"FAKE01\tno permissions (user in plugdev group; are your udev rules wrong?)\n",
         "this user may not use it (no): add udev's rules"),
        (b"FAKE01\trecovery\n", "is recovery: plug it in again"),
        (b"* daemon started successfully *\n\xff\xfe\tdevice\n", "adb devices shows: *, \ufffd"),
        (b"\x1b[2J\tdevice\n", "adb devices shows: [2J"),
        (b"", "adb devices shows: none"),
    ],
)  # fmt: skip
def test_what_adb_devices_may_show(phone: fake_adb.FakeAdb, listing: bytes, told: str) -> None:
    phone.listing = b"OKAY%04x" % len(listing) + listing
    assert told in refusal()


@pytest.mark.parametrize(
    "answer", [b"FAIL0003bad", b"OKAYzzzz", b"OKAY", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"FAIL"]
)
def test_another_server_at_adbs_port(phone: fake_adb.FakeAdb, answer: bytes) -> None:
    phone.listing = answer
    assert "no adb server on this machine" in refusal()


@pytest.mark.parametrize(
    "serial",
    [
        "$(reboot)",
        "a;b",
        "`x`",
        "a b",
        "a|b",
        "a\nb",
        "x" * 201,
        "\x1b[2J",
        "../x",
        "a'b",
        "\u0661",
    ],
)
def test_a_serial_that_adb_shows_nowhere(serial: str) -> None:
    with pytest.raises(ValueError, match="a device over adb must be adb://SERIAL") as caught:
        AdbTransport(serial)
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize(
    "serial", ["1A2B3C4D", "emulator-5554", "192.168.1.5:5555", "adb-R5._adb-tls-connect._tcp"]
)
def test_a_serial_that_adb_may_show(serial: str) -> None:
    assert AdbTransport(serial).where == f"adb://{serial}"


def test_a_device_whose_commands_say_more(phone: fake_adb.FakeAdb) -> None:
    """A linker's warning before each output, and line ends of a terminal."""
    phone.replace = {"wc -c <": "printf 'WARNING: linker: x\\r\\n'; wc -c <"}
    written: list[str] = []
    phone.write = lambda path, data: written.append(path)
    for _ in range(2):
        open_session(WHERE, "null").close()
    assert len(written) == 1


@pytest.mark.parametrize(("command", "says"), [("cat /dev/zero", ""), ("yes", "y y y")])
def test_a_device_whose_command_does_not_end(
    phone: fake_adb.FakeAdb, command: str, says: str
) -> None:
    phone.replace = {f"mkdir -p {adb.FOLDER}": command}
    line = refusal()
    assert "must print less there and end; it printed" in line and says in line
