"""An engine's wheels for another device.

pip fetches them on this host, for the device's Python, architecture and C library. One zip archive
of them stays in the cache folder and is pushed: the device needs neither pip nor a network.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latency.devices.apt import run_tool
from latency.devices.archive import zip_bytes
from latency.devices.session import Log
from latency.engines.registry import ENGINES
from space.common.files import cache_dir, check_regular, write_atomic
from space.common.provenance import package_version

# Not needed to run models: tests and headers of packages, and code for other hardware.
LEFT_OUT = re.compile(r"(^|/)(tests?|include|__pycache__|transformers|quantization|tools)/")
OLDEST_GLIBC = 17  # manylinux2014, PEP 599
OLDEST_PYTHON = (3, 9)
# What zipfile raises about an archive that is none, is cut, or says what it does not support.
DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError,
    OSError, struct.error,
)  # fmt: skip


def engine_wheels(
    engine: str, hello: dict[str, Any], where: str, *, log: Log = lambda line: None
) -> tuple[str, bytes, int]:
    """(digest, zip archive, unpacked bytes) of an engine's wheels for the device `where`, whose
    server sent `hello`.

    Raises:
        OSError: no such wheel exists, or pip or the network is missing; one line says so.
    """
    packages = ENGINES[engine].wheels
    if not packages:
        raise OSError(f"{where}: engine {engine!r} is missing, and it has no wheels to push")
    tags = platform_tags(hello, where)
    python = ".".join(hello["python"].split(".")[:2])
    key = "\n".join([*requirements(packages), python, tags[0]])
    path = cache_dir() / "wheels" / f"{engine}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.zip"
    found = _read(path) if path.exists() else None
    if found is None:
        log(f"fetching {', '.join(packages)} for Python {python} on {hello['machine']}")
        _make(path, packages, python, tags, where)
        found = _read(path)
    if found is None:
        raise OSError(f"{path} cannot be read back: make room there, or delete it")
    data, size = found
    return hashlib.sha256(data).hexdigest(), data, size


def _read(path: Path) -> tuple[bytes, int] | None:
    """An archive and the size of what is in it; None if it is damaged.

    Raises:
        ValueError: a folder, a pipe or a device is in its place.
    """
    check_regular(path)
    data = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.testzip() is not None:
                return None
            return data, sum(entry.file_size for entry in archive.infolist())
    except DAMAGED:
        return None


def platform_tags(hello: dict[str, Any], where: str) -> list[str]:
    """Platform tags of the wheels that run on a device, the best first (PEP 600, PEP 656); OSError
    if none can."""
    machine, (libc, version) = hello["machine"], hello["libc"]
    python = tuple(int(part) for part in hello["python"].split(".")[:2])
    if python < OLDEST_PYTHON:
        raise OSError(f"{where} must have Python 3.9 or newer; it has {hello['python']}")
    if hello["system"] != "Linux":
        raise OSError(f"{where} must run Linux; it runs {hello['system']}")
    if libc == "musl":
        return [f"musllinux_1_{minor}_{machine}" for minor in (2, 1)]
    found = re.match(r"2\.([0-9]{1,2})(?![0-9])", version)
    if libc != "glibc" or not found or int(found[1]) < OLDEST_GLIBC:
        raise OSError(f"{where} must have glibc 2.17 or newer; it has {libc or '?'} {version}")
    newest = int(found[1])
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, OLDEST_GLIBC - 1, -1)]
    return [*tags, f"manylinux2014_{machine}", f"linux_{machine}"]


def requirements(packages: tuple[str, ...]) -> list[str]:
    """pip requirements, at the versions that this host has."""
    here = {name: package_version(name) for name in packages}
    return [name if v == "not installed" else f"{name}=={v}" for name, v in here.items()]


def _make(path: Path, packages: tuple[str, ...], python: str, tags: list[str], where: str) -> None:
    """Fetch wheels, in the versions of this host if they exist, and pack their content."""
    with tempfile.TemporaryDirectory(prefix="g4nas-wheels-") as folder:
        site = Path(folder) / "site"
        try:
            pip_install(requirements(packages), site, python, tags, compiled=False)
        except OSError:
            shutil.rmtree(site, ignore_errors=True)
            try:
                pip_install(packages, site, python, tags, compiled=False)
            except OSError as error:
                what = f"{', '.join(packages)} for {where} (Python {python}, {tags[0]})"
                raise OSError(f"no wheels of {what}: {error}") from None
        names = (p.relative_to(site).as_posix() for p in site.rglob("*") if p.is_file())
        needed = [n for n in names if not LEFT_OUT.search(n) or n.endswith("/__init__.py")]
        files = {name: (site / name).read_bytes() for name in needed}
    write_atomic(path, zip_bytes(files, compress=True))


def pip_install(
    packages: Sequence[str], into: Path, python: str, platforms: Sequence[str], *, compiled: bool
) -> None:
    """Install wheels for another machine into a folder, without their dependencies.

    Args:
        python: CPython's version on that machine, as "3.11".
        platforms: platform tags that it can run.
        compiled: compile .py files too.

    Raises:
        OSError: pip is missing, or no such wheel exists.
    """
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "-V"], capture_output=True).returncode != 0:
        raise OSError(f"wheels need pip: {sys.executable} -m ensurepip, then repeat the command")
    command = [*pip, "install", "-q", "--no-deps", "--no-input", "--disable-pip-version-check"]
    command += [f"--target={into}", *([] if compiled else ["--no-compile"])]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    command += [f"--abi={name}" for name in (f"cp{python.replace('.', '')}", "abi3", "none")]
    command += [f"--platform={tag}" for tag in platforms]
    run_tool([*command, *packages], f"fetching wheels of {', '.join(packages)}")
