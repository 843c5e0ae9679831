"""The one file that is pushed to a device: the folder `latency/ondevice` as a zip archive that
Python runs."""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "ondevice"
START = "import sys\nfrom latency.ondevice.main import main\nmain(sys.argv[1])\n"
DATE = (1980, 1, 1, 0, 0, 0)  # the same bytes at any time


@cache
def server_archive() -> tuple[str, bytes]:
    """(file name, content); the name changes with the content."""
    files = {
        f"latency/ondevice/{path.relative_to(FOLDER).as_posix()}": path.read_bytes()
        for path in sorted(FOLDER.rglob("*.py"))
    }
    # The package's own `__init__` names the rest of the project: a device gets an empty one.
    data = zip_bytes({**files, "latency/__init__.py": b"", "__main__.py": START.encode()})
    return f"g4nas-worker-{hashlib.sha256(data).hexdigest()[:12]}.pyz", data


def has_runner(engine: str) -> bool:
    """Whether the archive can run an engine's models."""
    return (FOLDER / "runners" / f"{engine}.py").is_file()


def zip_bytes(files: dict[str, bytes], *, compress: bool = False) -> bytes:
    """A zip archive of files by name: the same bytes for the same files."""
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, DATE), data, compress_type=method)
    return out.getvalue()
