"""What made a file: the commit, the versions of packages, the date."""

from __future__ import annotations

import datetime
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
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


def package_version(package: str) -> str:
    """The version of an installed package, or "not installed"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def versions(*packages: str) -> dict[str, str]:
    """The versions of Python and of packages."""
    return {
        "python": platform.python_version(),
        **{package: package_version(package) for package in packages},
    }


def now_utc() -> str:
    """Date and time of now: ISO 8601, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def today_utc() -> str:
    """The date of today in UTC, as 2026-01-31."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()
