"""An engine's wheels for another device, found by what the device says of itself.

They are fetched here with pip, for the device's Python, machine and C library, kept in the cache
folder, and pushed as one zip archive: the device needs no pip and no network.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from latency.devices.archive import zip_bytes
from latency.devices.session import Say
from latency.engines.registry import ENGINES
from space.common.files import cache_dir

# Not needed to run: the tests and headers of packages, and what runs models on other hardware.
LEFT_OUT = re.compile(r"(^|/)(tests?|include|__pycache__|transformers|quantization|tools)/")
OLDEST_GLIBC = 17  # manylinux2014, PEP 599
OLDEST_PYTHON = (3, 9)


def engine_wheels(
    engine: str, hello: dict[str, Any], where: str, *, say: Say = lambda line: None
) -> tuple[str, bytes, int]:
    """(digest, zip archive, bytes when unpacked) of an engine for the device that said `hello`.

    Raises:
        OSError: there is no such wheel, or pip or the network is missing; one line says so.
    """
    packages = ENGINES[engine].wheels
    if not packages:
        raise OSError(f"{where}: engine {engine!r} is not there, and nothing can be pushed for it")
    tags = platform_tags(hello, where)
    python = ".".join(hello["python"].split(".")[:2])
    key = "\n".join([*wanted(packages), python, tags[0]])
    path = cache_dir() / "wheels" / f"{engine}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.zip"
    if not path.exists():
        say(f"fetching {', '.join(packages)} for Python {python} on {hello['machine']}")
        _make(path, packages, python, tags, where)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    return hashlib.sha256(data).hexdigest(), data, size


def platform_tags(hello: dict[str, Any], where: str) -> list[str]:
    """Platform tags of the wheels that run on a device, the best first (PEP 600, PEP 656).

    Raises:
        OSError: no wheel can run there.
    """
    machine, (libc, version) = hello["machine"], hello["libc"]
    python = tuple(int(part) for part in hello["python"].split(".")[:2])
    if python < OLDEST_PYTHON:
        raise OSError(f"{where} must have Python 3.9 or newer; it has {hello['python']}")
    if hello["system"] != "Linux":
        raise OSError(f"{where} must run Linux; it runs {hello['system']}")
    if libc == "musl":
        return [f"musllinux_1_{minor}_{machine}" for minor in (2, 1)]
    found = re.match(r"2\.(\d+)", version)
    if libc != "glibc" or not found or int(found[1]) < OLDEST_GLIBC:
        raise OSError(f"{where} must have glibc 2.17 or newer; it has {libc or '?'} {version}")
    newest = int(found[1])
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, OLDEST_GLIBC - 1, -1)]
    return [*tags, f"manylinux2014_{machine}", f"linux_{machine}"]


def wanted(packages: tuple[str, ...]) -> list[str]:
    """Requirements, at the versions that are installed here."""
    found = []
    for name in packages:
        try:
            found.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(name)
    return found


def _make(path: Path, packages: tuple[str, ...], python: str, tags: list[str], where: str) -> None:
    """Fetch wheels and pack what they unpack to; the same versions as here if there are such."""
    with tempfile.TemporaryDirectory(prefix="g4nas-wheels-") as folder:
        site = Path(folder) / "site"
        try:
            _pip(wanted(packages), site, python, tags)
        except OSError:
            shutil.rmtree(site, ignore_errors=True)
            try:
                _pip(list(packages), site, python, tags)
            except OSError as error:
                raise OSError(
                    f"no wheels of {', '.join(packages)} for {where} (Python {python}, "
                    f"{tags[0]}): {error}"
                ) from None
        names = (p.relative_to(site).as_posix() for p in site.rglob("*") if p.is_file())
        files = {name: (site / name).read_bytes() for name in names if keep(name)}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_bytes(zip_bytes(files, compress=True))
    temporary.replace(path)


def keep(name: str) -> bool:
    """Whether a file of a wheel is needed to run models."""
    return not LEFT_OUT.search(name) or name.endswith("/__init__.py")


def _pip(requirements: list[str], site: Path, python: str, tags: list[str]) -> None:
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--no-compile", f"--target={site}"]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    command += [f"--abi={name}" for name in (f"cp{python.replace('.', '')}", "abi3", "none")]
    command += [f"--platform={tag}" for tag in tags]
    done = subprocess.run([*command, *requirements], capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stderr.strip() or "no message").splitlines()
        errors = [line for line in said if line.startswith("ERROR")] or said
        raise OSError(errors[-1].removeprefix("ERROR: "))
