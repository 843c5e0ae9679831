"""Find or unpack QEMU with plugins and LLVM's machine code analyser; compile the counting plugin.

Programs unpacked from Debian packages run through their own loader with the libraries unpacked
beside them, so that they work on other systems of the same architecture.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from latency.devices import apt
from latency.devices.sysroot import made_folder, mark_whole
from space.common.cli import log
from space.common.files import cache_dir, replace_file

COUNTER = Path(__file__).parent / "counter.c"
LLVM = 19  # whose scheduling models were validated
MAX_QEMU = 8  # the plugin interface changed in QEMU 9
ANSWER_S = 60.0  # for a program's version
LOADERS = {"x86_64": "ld-linux-x86-64.so.2", "aarch64": "ld-linux-aarch64.so.1"}


@dataclass(frozen=True, slots=True)
class Program:
    """The words that start a program, and its version."""

    start: tuple[str, ...]
    version: str


@cache
def plugin_qemu() -> Program:
    """qemu-aarch64 of a version that the counting plugin supports: this system's, else Debian's.

    Raises:
        OSError: neither can be had.
    """
    found = shutil.which("qemu-aarch64")
    if found and "-plugin" in _output([found, "-h"]):
        version = _version([found])
        if _countable(version):
            return Program((found,), version)
    start = _unpacked("qemu-user", "usr/bin/qemu-aarch64")
    version = _version([*start])
    if not _countable(version):
        raise OSError(
            f"counting needs QEMU up to {MAX_QEMU} (its plugin interface); these package sources "
            f"have {version or 'none'}: set ${apt.SOURCES_VARIABLE} to those of Debian 12"
        )
    return Program(start, version)


@cache
def llvm_tool(name: str) -> Program:
    """llvm-mca or llvm-mc of LLVM 19: this system's, else Debian's.

    Raises:
        OSError: neither can be had.
    """
    for candidate in (f"{name}-{LLVM}", name):
        found = shutil.which(candidate)
        if found and (version := _version([found])).startswith(f"{LLVM}."):
            return Program((found,), version)
    start = _unpacked(f"llvm-{LLVM}", f"usr/lib/llvm-{LLVM}/bin/{name}")
    version = _version([*start])
    if not version:
        raise OSError(f"{name} of Debian's llvm-{LLVM} does not start here: install llvm-{LLVM}")
    return Program(start, version)


@cache
def counter_plugin() -> Path:
    """The counting plugin, compiled once by this system's C compiler.

    Raises:
        OSError: the compiler is missing, or it fails.
    """
    source = COUNTER.read_bytes()
    name = f"counter-{hashlib.sha256(source).hexdigest()[:12]}-{platform.machine()}.so"
    path = cache_dir() / "sysroot-arm64" / name
    if path.is_file():
        return path
    compiler = os.environ.get("CC") or next(
        (name for name in ("cc", "gcc", "clang") if shutil.which(name)), None
    )
    if compiler is None:
        raise OSError("counting instructions needs a C compiler on the PATH: install gcc")
    with replace_file(path) as temporary:
        flags = ["-O2", "-shared", "-fPIC", "-o", str(temporary), str(COUNTER)]
        apt.run_tool([compiler, *flags], "compiling the counter")
    return path


def _unpacked(package: str, program: str) -> tuple[str, ...]:
    """The words that start a program of a Debian package through its own loader."""

    def make(path: Path) -> None:
        with apt.Apt(apt.host_architecture()) as source:
            versions = source.unpack([package], path / "root", with_dependencies=True)
        mark_whole(path, versions={package: versions.get(package, "")})

    folder = cache_dir() / "sysroot-arm64" / package
    root = made_folder(folder, make, lambda: log(f"unpacking {package}")) / "root"
    machine = platform.machine()
    libraries = root / f"lib/{machine}-linux-gnu"
    loaders = [folder / LOADERS.get(machine, "none") for folder in (root / "lib64", libraries)]
    start = next((path for path in loaders if path.exists()), None)
    if start is None:
        raise OSError(f"counting works on x86_64 and aarch64 Linux; this is {machine}")
    folders = [libraries, root / "usr" / libraries.relative_to(root)]
    folders.append(root / f"usr/lib/llvm-{LLVM}/lib")
    return (str(start), "--library-path", ":".join(map(str, folders)), str(root / program))


def _countable(version: str) -> bool:
    return bool(version) and int(version.split(".")[0]) <= MAX_QEMU


def _output(command: list[str]) -> str:
    """What a program says of itself; "" if it cannot be run, or does not end."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=ANSWER_S,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def _version(command: list[str]) -> str:
    """The version of QEMU or LLVM; "" if the program states none."""
    found = re.search(r"version ([0-9]{1,4}\.[!-~]{1,60})", _output([*command, "--version"]))
    return found.group(1) if found else ""
