"""Facts about the machine that runs, and writing its files safely."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any


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


@cache
def _cpuinfo() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; empty where there is none."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def chip() -> str:
    """The processor's name, with family, model and stepping where it is known."""
    info = _cpuinfo()
    name = info.get("model name") or info.get("CPU part") or platform.processor()
    numbers = [info.get(key, "") for key in ("cpu family", "model", "stepping")]
    suffix = f" (family {'/'.join(numbers)})" if all(numbers) else ""
    return f"{name or platform.machine()}{suffix}"


def emulated() -> bool:
    """Whether another machine's instructions are translated here: wall time is then no latency."""
    return "qemu" in " ".join(_cpuinfo().values()).lower()


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _throttle() -> str:
    for path in sorted(Path("/sys/class/thermal").glob("thermal_zone*/temp")):
        text = _read(str(path))
        if text.lstrip("-").isdigit():
            return f"{int(text) / 1000:g} C"
    return ""


def facts() -> dict[str, Any]:
    """What a table's header says about this host; unreadable facts are left out."""
    cpu = "/sys/devices/system/cpu/cpu0"
    wanted = ("avx2", "avx512f", "avx512_vnni", "fma", "asimd", "asimdhp", "asimddp", "sve")
    flags = _cpuinfo().get("flags", _cpuinfo().get("Features", "")).split()
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    found = {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "cores": os.cpu_count(),
        "affinity": affinity,
        "features": " ".join(flag for flag in wanted if flag in flags),
        "cache": _cpuinfo().get("cache size", ""),
        "l2_cache": _read(f"{cpu}/cache/index2/size"),
        "l3_cache": _read(f"{cpu}/cache/index3/size"),
        "governor": _read(f"{cpu}/cpufreq/scaling_governor"),
        "frequency": _read(f"{cpu}/cpufreq/scaling_cur_freq"),
        "virtual": "yes" if "hypervisor" in flags else "",
        "temperature": _throttle(),
    }
    return {name: value for name, value in found.items() if value}


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
