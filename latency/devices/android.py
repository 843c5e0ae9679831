"""A Python for devices without one: an aarch64 Debian's, started by its own dynamic linker.

Android has neither Python nor glibc. But glibc's linker is a program that starts another program
with the libraries of a folder (ld.so(8), --library-path). So a folder with Debian's files is
enough: nothing outside it changes, and no root is needed.
"""

from __future__ import annotations

import hashlib
import io
import shlex
import tarfile
from dataclasses import dataclass
from pathlib import Path

from latency.devices.session import Log
from latency.devices.sysroot import arm64_sysroot

KEPT = ("lib/", "usr/lib/", "usr/bin/python3")
LEFT_OUT = ("/systemd/", "/test/", "/idlelib/", "/ensurepip/", "/__pycache__/", "/apt/", "/dpkg/")


@dataclass(frozen=True, slots=True)
class PushedPython:
    """A tar archive to unpack on the device, and the name of the folder for it."""

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
            needed = name.startswith(KEPT) and not any(part in f"/{name}/" for part in LEFT_OUT)
            if not needed or not (path.is_symlink() or path.is_file()):
                continue
            info = archive.gettarinfo(path, name)
            info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "", ""
            if info.islnk():  # a second name of a file, which not every tar can unpack
                info.type, info.size = tarfile.REGTYPE, path.stat().st_size
            archive.addfile(info, io.BytesIO(path.read_bytes()) if info.isreg() else None)
    return out.getvalue()
