"""The machine that builds: its facts, its cache folder, and writing its files safely."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from latency.machine import chip, emulated, emulation, facts, host_id

__all__ = [
    "cache_dir", "chip", "commit", "emulated", "emulation", "facts", "host_id", "write_atomic",
]  # fmt: skip


def cache_dir() -> Path:
    """`$G4NAS_CACHE`, or `~/.cache/g4nas`."""
    return Path(os.environ.get("G4NAS_CACHE") or Path.home() / ".cache" / "g4nas")


def write_atomic(path: Path, text: str) -> None:
    """Write a temporary file, sync it, rename it: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def commit() -> str:
    """The commit of the source, with -dirty if it was changed; empty outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
