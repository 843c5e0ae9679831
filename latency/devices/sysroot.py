"""A small aarch64 Linux with Python and an engine's wheels, run by QEMU's user mode.

`arm64_sysroot(["ncnn", "numpy"])` makes it once, in the cache folder. It runs aarch64 code and
counts what that executes; **its wall time is not latency**.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latency.devices import apt
from latency.devices.session import Log
from latency.devices.transport import one_line
from latency.devices.wheels import pip_install
from space.common.files import cache_dir, locked
from space.common.schema import Record, Text, Values, read_json

# QEMU 7.2 passes on the host's own /proc/cpuinfo and /sys: onnxruntime then assumes another
# architecture and crashes on import. QEMU's -L finds these plain files instead.
# "CPU part" by core: Arm's Technical Reference Manuals, MIDR_EL1 (0xd08 is Cortex-A72, 0xd0b
# Cortex-A76). The device's server recognises emulation by the model name.
CPUINFO = """processor\t: 0
model name\t: QEMU user mode
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc \
dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

"""
PLAIN_FILES = {
    "proc/cpuinfo": CPUINFO,
    **{f"sys/devices/system/cpu/{n}": "0\n" for n in ("possible", "present", "online")},
}
PLATFORMS = [f"manylinux{name}_aarch64" for name in ("_2_28", "_2_27", "_2_17", "2014")]
MARK = "complete.json"  # written last, before the folder is renamed
MARK_SPEC = Record(
    {
        "python": Text(pattern=r"3\.\d{1,2}", says="a version of Python, as 3.11"),
        "versions": Values(Text(pattern=r"[ -~]{1,100}"), most=1000, key=Text(longest=100)),
    }
)
LEFTOVER_S = 60.0  # the least age of a folder that a killed process left, before it is removed


@dataclass(frozen=True, slots=True)
class Sysroot:
    """`root` holds Debian's files, `site` the engine's wheels (a folder for PYTHONPATH).

    `python` is the version ("3.11") of `root`'s interpreter, root/usr/bin/python3.11; `versions`
    the versions of QEMU, of the Debian packages and of the wheels.
    """

    root: Path
    site: Path
    qemu: Path
    python: str
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def interpreter(self) -> Path:
        return self.root / "usr" / "bin" / f"python{self.python}"

    def command(
        self, cpu: str, script: str | Path, args: Sequence[str] = (), *, qemu: Sequence[str] = ()
    ) -> list[str]:
        """The command that runs a script under the emulator with the core `cpu` ("cortex-a76").

        Run it with `environment()`. `qemu` are further options of the emulator. The core "max" is
        a ValueError: engines would pick kernels (SVE2, SME) that real chips lack.
        """
        if cpu == "max":
            raise ValueError("`cpu` must be a core such as cortex-a76; got 'max'")
        start = [str(self.qemu), "-cpu", cpu, "-L", str(self.root), *qemu]
        return [*start, str(self.interpreter), str(script), *args]

    def environment(self) -> dict[str, str]:
        """All variables that the script runs with: none of this process's own Python."""
        names = os.environ.keys() & {"PATH", "HOME", "TMPDIR"}
        return {
            **{name: os.environ[name] for name in names},
            "LANG": "C.UTF-8",
            "PYTHONHOME": str(self.root / "usr"),
            "PYTHONPATH": str(self.site),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }


def arm64_sysroot(engine_packages: Sequence[str], *, log: Log = lambda line: None) -> Sysroot:
    """The sysroot with these wheels. The first call makes it (about 10 s, 200 MB) in
    `cache_dir()/"sysroot-arm64"`.

    Args:
        engine_packages: all pip requirements, since their dependencies are not followed
            (`["ncnn==1.0.20261020", "numpy"]`, `["onnxruntime", "numpy"]`).
        log: called with a line whenever something is made.

    Raises:
        OSError: apt-get, dpkg-deb, pip or the network is missing; one line says what to do.
        ValueError: no packages.
    """
    if not engine_packages:
        raise ValueError("an aarch64 sysroot needs the names of its engine's wheels; got none")
    folder = cache_dir() / "sysroot-arm64"
    qemu, qemu_version = _qemu_binary(log)
    base = made_folder(
        folder / "debian",
        _make_root,
        lambda: log("unpacking an aarch64 Debian"),
        facts=("python", "versions"),
    )
    facts = read_mark(base)
    packages = sorted(set(engine_packages))
    digest = hashlib.sha256("\n".join([facts["python"], *packages]).encode()).hexdigest()[:12]
    site = made_folder(
        folder / f"site-{digest}",
        lambda path: _make_site(path, packages, facts["python"]),
        lambda: log(f"fetching aarch64 wheels of {', '.join(packages)}"),
        facts=("versions",),
    )
    versions = {"qemu": qemu_version, **facts["versions"], **read_mark(site)["versions"]}
    return Sysroot(base / "root", site / "site", qemu, facts["python"], versions)


def _qemu_binary(log: Log) -> tuple[Path, str]:
    """qemu-aarch64-static and its version: this system's, or one from Debian's package."""
    found = shutil.which("qemu-aarch64-static")
    if found is None:
        path = cache_dir() / "sysroot-arm64" / "qemu"
        made_folder(path, _make_qemu, lambda: log("unpacking qemu-aarch64-static"))
        found = str(path / "qemu-aarch64-static")
    text = apt.run_tool([found, "--version"], "asking QEMU for its version")
    first = one_line(text.partition("\n")[0], 100).removeprefix("qemu-aarch64 version ")
    if not first:
        raise OSError(f"{found} must state its version; it states none: install QEMU anew")
    return Path(found), first


def made_folder(
    path: Path,
    make: Callable[[Path], None],
    announce: Callable[[], None] = lambda: None,
    *,
    facts: Sequence[str] = (),
) -> Path:
    """`path`, made in a temporary folder beside it and renamed when complete. A folder without its
    mark, or whose mark is damaged, is incomplete and is replaced.

    Args:
        facts: what the mark must say, of `MARK_SPEC`.
    """
    if _is_whole(path, facts):
        return path
    announce()
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        with locked(temporary, "making"):
            make(temporary)
            if path.exists() and not _is_whole(path, facts):
                shutil.rmtree(path)
            try:
                temporary.rename(path)
            except OSError:  # another process was first
                if not _is_whole(path, facts):
                    raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def read_mark(path: Path) -> dict[str, Any]:
    """What the mark of a made folder says.

    Raises:
        ValueError: it is damaged; one line that begins with its file.
        OSError: it is missing.
    """
    return dict(read_json(path / MARK, MARK_SPEC))


def _is_whole(path: Path, facts: Sequence[str]) -> bool:
    try:
        found = read_mark(path)
    except (ValueError, OSError):
        return False
    return all(name in found for name in facts)


def _sweep(path: Path) -> None:
    """Remove what killed processes left beside `path`; a folder in the making is locked."""
    for old in path.parent.glob(f".{path.name}.*"):
        with suppress(OSError, ValueError):
            if old.is_dir() and time.time() - old.stat().st_mtime > LEFTOVER_S:
                with locked(old, "making"):
                    shutil.rmtree(old)


def _make_root(path: Path) -> None:
    root = path / "root"
    with apt.Apt("arm64") as packages:
        names = [n for n in packages.depends("python3-minimal") if n.startswith("python3.")]
        if len(names) != 1:
            raise OSError(
                "this system's package sources must carry arm64 (python3-minimal); they do not: "
                f"set ${apt.SOURCES_VARIABLE} to a list of sources that do"
            )
        python = names[0].removeprefix("python").removesuffix("-minimal")
        needed = [names[0], f"libpython{python}-stdlib", "libstdc++6"]
        versions = packages.unpack(needed, root, with_dependencies=True)
    for name, text in PLAIN_FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    main = {name: versions[name] for name in ("libc6", names[0]) if name in versions}
    mark_whole(path, python=python, versions=main)


def _make_site(path: Path, packages: Sequence[str], python: str) -> None:
    site = path / "site"
    pip_install(packages, site, python, PLATFORMS, compiled=True)
    folders = [p.name.removesuffix(".dist-info") for p in site.glob("*.dist-info")]
    mark_whole(path, versions=dict(name.rsplit("-", 1) for name in sorted(folders)))


def _make_qemu(path: Path) -> None:
    with apt.Apt(apt.host_architecture()) as packages:
        packages.unpack(["qemu-user-static"], path / "all", with_dependencies=False)
    shutil.move(path / "all" / "usr" / "bin" / "qemu-aarch64-static", path)
    shutil.rmtree(path / "all")
    mark_whole(path)


def mark_whole(path: Path, **facts: object) -> None:
    """Write the mark that `made_folder` looks for, with facts about the content."""
    (path / MARK).write_text(json.dumps(facts, indent=2) + "\n")
