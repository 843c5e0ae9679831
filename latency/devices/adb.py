"""A device over the Android debug bridge: phones, and boards whose Linux runs adbd.

Not yet run on a phone: written after adb's own documents (SERVICES.TXT, SYNC.TXT) and tested with
a server that follows them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import shlex
import socket
import struct
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any, NoReturn

from latency.devices.archive import server_archive
from latency.devices.session import Log
from latency.devices.sysroot import arm64_sysroot
from latency.devices.transport import BufferedStream, Stream, one_line
from space.common.errors import DeviceError, DroppedError
from space.common.text import shorten

FOLDER = "/data/local/tmp/g4nas"  # where adb's user may write and run programs
ERRORS = f"{FOLDER}/errors"
# A serial number, an emulator's name, host:port, or a name that adb found in the network.
SERIAL = re.compile(r"[\w.:@%+-]{1,200}|\[[\w.:%]+\]:\d{1,5}", re.ASCII)
SPARE_KIB = 64 * 1024
MOST_OUTPUT = 2**20  # of a command on the device
COMMAND_S = 60.0
GOODBYE_S = 3.0
PYTHON_FILES = ("lib/", "usr/lib/", "usr/bin/python3")
LEFT_OUT = ("/systemd/", "/test/", "/idlelib/", "/ensurepip/", "/__pycache__/", "/apt/", "/dpkg/")
VERSION = "import sys; print('python', sys.version_info >= (3, 9))"


class AdbTransport:
    """A device that this machine's adb server knows. ImportError without adbutils, ValueError if
    `serial` can be no serial number."""

    emulation = ""

    def __init__(self, serial: str, *, log: Log = lambda line: None) -> None:
        try:
            import adbutils
        except ImportError as error:
            raise ImportError(
                "a device over adb needs adbutils, which is not here: pip install adbutils"
            ) from error
        if not SERIAL.fullmatch(serial):
            raise ValueError(
                "a device over adb must be adb://SERIAL, with a serial number as `adb devices` "
                f"shows it; got {shorten(serial)}"
            )
        self._adb: Any = adbutils
        # What adbutils raises where an adb server keeps to no protocol.
        self._faults = (adbutils.AdbError, OSError, ValueError, EOFError, struct.error)
        self._serial, self._log = serial, log
        self.where = f"adb://{serial}"
        self.host = hashlib.sha256(f"g4nas {serial}".encode()).hexdigest()[:12]
        self._python = ""

    def start(self) -> Stream:
        try:
            device = self._device()
            self.shell(device, f"mkdir -p {FOLDER}")
            if not self._python:
                self._python = self._find_python(device)
            name, data = server_archive()
            path = f"{FOLDER}/{name}"
            if self._last(device, f"wc -c < {path} 2>/dev/null") != str(len(data)):
                self._push(device, data, path)
            # stderr goes to a file: adb has one stream for both.
            command = f"cd {FOLDER} && exec {self._python} {path} {FOLDER} 2>{ERRORS}"
            connection = device.open_transport(timeout=COMMAND_S)
            connection.send_command(f"exec:{command}")
            connection.check_okay()
        except self._adb.AdbError as error:
            raise DroppedError(f"{self.where}: {_line(error)}") from None
        except (ValueError, EOFError, struct.error) as error:
            raise DeviceError(f"{self.where}: no answer of adb: {_line(error)}") from None
        return AdbStream(self, connection)

    def _device(self) -> Any:
        """The device, if it is connected and lets this machine in."""
        try:
            client = self._adb.AdbClient()
            if which("adb") is None:  # without this adbutils would try to start one
                socket.create_connection((client.host, client.port), COMMAND_S).close()
            states = {str(info.serial): str(info.state) for info in client.list()}
        except self._faults as error:
            raise OSError(
                f"{self.where}: no adb server on this machine ({_line(error)}): install adb, then "
                "adb devices"
            ) from None
        state = states.get(self._serial)
        if state is None:
            known = one_line(", ".join(states)) or "none"
            text = f"{self.where} is not connected; adb devices shows: {known}"
            raise DroppedError(text) if self._python else OSError(text)
        if state == "unauthorized":
            raise OSError(f"{self.where}: accept this computer's key on its screen")
        if state.startswith("no"):  # no permissions (its reason); the words differ by version
            raise OSError(
                f"{self.where}: this user may not use it ({_line(state)}): add udev's rules for "
                "it, and adb kill-server"
            )
        if state != "device":
            raise DroppedError(f"{self.where} is {_line(state)}: plug it in again")
        return client.device(serial=self._serial)

    def _state(self) -> str:
        """The device's state in the adb server; empty if unknown."""
        with contextlib.suppress(*self._faults):
            infos = self._adb.AdbClient().list()
            return next((str(i.state) for i in infos if i.serial == self._serial), "")
        return ""

    def shell(self, device: Any, command: str) -> str:
        """What a command on the device prints; its line ends are those of Unix.

        Raises:
            DeviceError: more than MOST_OUTPUT, or it does not end.
        """
        until = time.monotonic() + COMMAND_S
        connection = device.open_transport(timeout=COMMAND_S)
        try:
            connection.send_command(f"shell:{command}")
            connection.check_okay()
            output = bytearray()
            while data := connection.conn.recv(2**16):
                output += data
                if len(output) > MOST_OUTPUT or time.monotonic() > until:
                    raise DeviceError(
                        f"{self.where}: `{command[:60]}` must print less there and end; it "
                        f"printed {_line(output[:60])}"
                    )
        except (TimeoutError, ConnectionError) as error:
            raise DroppedError(f"{self.where}: {_line(error)}") from None
        finally:
            connection.close()
        return output.decode(errors="replace").replace("\r\n", "\n")

    def _last(self, device: Any, command: str) -> str:
        """The last line that a command prints: a linker's warnings may come before it."""
        lines = self.shell(device, command).split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def raise_ended(self) -> NoReturn:
        """The error of a server that has ended, with the last line of its stderr."""
        if self._state() != "device":
            raise DroppedError(f"{self.where} was lost")
        error = ""
        with contextlib.suppress(*self._faults):
            device = self._adb.AdbClient().device(serial=self._serial)
            error = one_line(self._last(device, f"tail -n 1 {ERRORS} 2>/dev/null"))
        raise OSError(f"{self.where}: the worker ended{f': {error}' if error else ''}")

    def _find_python(self, device: Any) -> str:
        """The shell words that start the device's Python, or one that is pushed."""
        if "python True" in self.shell(device, f"python3 -c {shlex.quote(VERSION)} 2>/dev/null"):
            return "python3"
        machine = self._last(device, "uname -m")
        if machine != "aarch64":
            raise OSError(
                f"{self.where} must have Python 3.9 or newer, or be aarch64; it is "
                f"{_line(machine)}"
            )
        python = debian_python(log=self._log)
        root = f"{FOLDER}/{python.name}"
        if "complete" not in self.shell(device, f"ls {root}/complete 2>/dev/null"):
            self._unpack(device, python, root)
            self.shell(device, f"touch {root}/complete")
        return python.command(root)

    def _unpack(self, device: Any, python: PushedPython, root: str) -> None:
        needed = 2 * len(python.data) // 1024 + SPARE_KIB  # the archive and what is in it
        free = re.search(r"([0-9]{1,15}) +[0-9]+%", self._last(device, f"df -k {FOLDER}"))
        if free and int(free[1]) < needed:
            raise OSError(
                f"{self.where} is full: a Python needs {needed >> 10} MiB in {FOLDER}, "
                f"{int(free[1]) >> 10} MiB are free"
            )
        self._log(f"pushing Python to {self.where} ({len(python.data) >> 20} MiB)")
        self._push(device, python.data, f"{root}.tar")
        unpack = f"rm -rf {root} && mkdir {root} && tar -xf {root}.tar -C {root} && echo unpacked"
        output = self.shell(device, unpack)
        self.shell(device, f"rm -f {root}.tar")
        if "unpacked" not in output:
            self.shell(device, f"rm -rf {root}")
            raise OSError(f"{self.where}: Python cannot be unpacked there: {_line(output)}")

    def _push(self, device: Any, data: bytes, path: str) -> None:
        try:
            device.sync.push(data, path, check=True)
        except self._faults as error:
            if self._state() != "device":
                raise DroppedError(f"{self.where} was lost") from None
            self.shell(device, f"rm -f {path}")
            raise OSError(
                f"{self.where}: {path} cannot be written (is it full?): {_line(error)}"
            ) from None

    def close(self) -> None:
        """Nothing to end: the adb server stays."""


class AdbStream(BufferedStream):
    """A server that adbd runs."""

    def __init__(self, transport: AdbTransport, connection: Any) -> None:
        super().__init__(transport.where, connection.conn)
        self._transport, self._connection = transport, connection
        self._source.settimeout(None)

    def _receive(self) -> bytes:
        try:
            return bytes(self._source.recv(2**20))
        except ConnectionError:
            return b""

    def write(self, data: bytes) -> None:
        try:
            with self._lock:
                self._source.sendall(data)
        except OSError:
            self._raise_ended()

    def _raise_ended(self) -> NoReturn:
        self._transport.raise_ended()

    def close(self) -> None:
        until = time.monotonic() + GOODBYE_S
        with contextlib.suppress(OSError):
            self._source.settimeout(GOODBYE_S)
            # Until the server has ended, unless it sends without an end.
            while self._source.recv(2**16) and time.monotonic() < until:
                pass
        with contextlib.suppress(OSError):
            self._connection.close()


def _line(text: object) -> str:
    return one_line(text) or "no message"


@dataclass(frozen=True, slots=True)
class PushedPython:
    """A tar archive to unpack on a device without Python, and the name of the folder for it.

    Android has no glibc either. But glibc's linker is a program that starts another program with
    the libraries of a folder (ld.so(8), --library-path). So a folder with Debian's files is
    enough: nothing outside it changes, and no root is needed.
    """

    name: str
    data: bytes
    version: str

    def command(self, root: str) -> str:
        """The shell command that stands for `python3`, once the archive is unpacked in `root`."""
        libraries = ":".join(f"{root}/{path}/aarch64-linux-gnu" for path in ("lib", "usr/lib"))
        words = [f"PYTHONHOME={root}/usr", "LD_LIBRARY_PATH=", "LD_PRELOAD=", "LANG=C.UTF-8"]
        words += [f"{root}/lib/ld-linux-aarch64.so.1", "--library-path", libraries]
        words += [f"{root}/usr/bin/python{self.version}"]
        return " ".join(["env", *map(shlex.quote, words)])


def debian_python(*, log: Log = lambda line: None) -> PushedPython:
    """A Python from Debian packages. Fetches and raises as `arm64_sysroot` does."""
    sysroot = arm64_sysroot(["numpy"], log=log)
    data = tar_bytes(sysroot.root)
    digest = hashlib.sha256(data).hexdigest()[:12]
    return PushedPython(f"python-{digest}", data, sysroot.python)


def tar_bytes(root: Path) -> bytes:
    """The files that Python needs, as a tar archive: the same bytes for the same files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            needed = name.startswith(PYTHON_FILES) and not any(
                part in f"/{name}/" for part in LEFT_OUT
            )
            if not needed or not (path.is_symlink() or path.is_file()):
                continue
            info = archive.gettarinfo(path, name)
            info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "", ""
            if info.islnk():  # a second name of a file, which not every tar can unpack
                info.type, info.size = tarfile.REGTYPE, path.stat().st_size
            archive.addfile(info, io.BytesIO(path.read_bytes()) if info.isreg() else None)
    return out.getvalue()
