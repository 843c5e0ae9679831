"""This host: its chip, its state, and whether its wall time is a latency."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from latency.ondevice.checks import line
from latency.ondevice.emulation import RATIO_LIMIT, instruction_ratio

MOST_BYTES = 2**22  # of a file of the kernel: /proc/cpuinfo of 1,024 processors has 2 MB
CPUS = "/sys/devices/system/cpu"
# "CPU part" of Arm's own cores (implementer 0x41): MIDR_EL1 in each core's Technical Reference
# Manual; the kernel lists them in arch/arm64/include/asm/cputype.h.
ARM_CORES = {
    "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55", "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72", "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1", "0xd0d": "Cortex-A77", "0xd40": "Neoverse-V1",
    "0xd41": "Cortex-A78", "0xd44": "Cortex-X1", "0xd46": "Cortex-A510", "0xd47": "Cortex-A710",
    "0xd48": "Cortex-X2", "0xd49": "Neoverse-N2", "0xd4d": "Cortex-A715", "0xd4e": "Cortex-X3",
    "0xd4f": "Neoverse-V2", "0xd80": "Cortex-A520", "0xd81": "Cortex-A720", "0xd82": "Cortex-X4",
}  # fmt: skip
FEATURES = (
    "avx2", "avx512f", "avx512_vnni", "fma", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve",
    "sve2", "sme",
)  # fmt: skip
ELF_MACHINES = {3: "x86", 62: "x86", 40: "arm", 183: "arm", 243: "riscv"}  # e_machine
FAMILIES = {"x86_64": "x86", "amd64": "x86", "i386": "x86", "i686": "x86", "riscv64": "riscv"}


def read(path: str) -> str:
    """A small file of the kernel; empty where it cannot be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(MOST_BYTES).decode(errors="replace").strip("\0\r\n ")
    except OSError:
        return ""


@cache
def cpuinfo() -> tuple[dict[str, str], ...]:
    """The fields of /proc/cpuinfo, one dict per processor; () without that file."""
    found = []
    for part in read("/proc/cpuinfo").split("\n\n"):
        pairs = (line.partition(":") for line in part.splitlines())
        values = {name.strip(): value.strip() for name, _, value in pairs}
        if "processor" in values:
            found.append(values)
    return tuple(found)


def _first() -> dict[str, str]:
    return cpuinfo()[0] if cpuinfo() else {}


def chip() -> str:
    """The processor's name on one line: model, and numbers or cores where they are known."""
    info = _first()
    if "CPU part" in info:
        return line(_arm_chip(), 300)
    name = info.get("model name") or platform.processor()
    numbers = [info.get(key, "") for key in ("cpu family", "model", "stepping")]
    suffix = f" (family {'/'.join(numbers)})" if all(numbers) else ""
    return line(f"{name}{suffix}", 300) or platform.machine() or "unknown"


def _arm_chip() -> str:
    parts = [(p.get("CPU implementer", "?"), p.get("CPU part", "?")) for p in cpuinfo()]
    cores = Counter(
        ARM_CORES[part] if maker == "0x41" and part in ARM_CORES else f"core {maker}/{part}"
        for maker, part in parts
    )
    text = " + ".join(f"{count} x {name}" for name, count in cores.items())
    phone = ", ".join(filter(None, map(_property, ("ro.product.model", "ro.soc.model"))))
    board = read("/proc/device-tree/model") or phone
    return f"{board} ({text})" if board else text


@cache
def _property(name: str) -> str:
    """A property of an Android system; empty elsewhere."""
    tool = "/system/bin/getprop"
    if not Path(tool).exists():
        return ""
    # With the system's libraries, not those of this process.
    env = {k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "LD_PRELOAD")}
    try:
        done = subprocess.run([tool, name], capture_output=True, timeout=5, env=env)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return line(done.stdout.decode(errors="replace"), 100)


def host_id() -> str:
    """A hash that differs between two hosts of one chip and reveals nothing else."""
    known = read("/etc/machine-id") or _property("ro.serialno") or platform.node()
    return hashlib.sha256(f"g4nas {known}".encode()).hexdigest()[:12]


@cache
def emulation() -> str:
    """The sign that software translates this host's instructions; "" without one.

    Signs: names that QEMU gives its processors; the program that the kernel runs, which is the
    emulator under user-mode emulation (hidden in /proc/self, but not in /proc/thread-self); the
    kernel's own architecture (Linux 6.1); and the time ratio of vector to integer instructions,
    which separates a translated processor from a virtual one.
    """
    if "qemu" in " ".join(" ".join(p.values()) for p in cpuinfo()).lower():
        return "its processor is called QEMU"
    ours = family(platform.machine())
    running = _elf_family("/proc/thread-self/exe")
    if running and running != ours:
        return f"a program for {running} runs this one for {ours}"
    try:
        program = Path("/proc/thread-self/exe").readlink().name
    except OSError:
        program = ""
    if program.startswith(("qemu-", "box64", "FEX")):
        return f"{program} runs this program"
    kernel = read("/proc/sys/kernel/arch")
    if kernel and family(kernel) != ours:
        return f"the kernel is of {kernel}, this program of {platform.machine()}"
    if {"vendor_id", "flags"} <= _first().keys() and ours != "x86":
        return f"/proc/cpuinfo is an x86 processor's, this program is of {platform.machine()}"
    if instruction_ratio() > RATIO_LIMIT:
        return "vector instructions are as slow as only a translated processor's"
    return ""


def family(machine: str) -> str:
    """x86, arm, riscv, or the name itself: architectures that run each other's older programs."""
    if machine.startswith(("arm", "aarch")):
        return "arm"
    return FAMILIES.get(machine.lower(), machine)


def _elf_family(path: str) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a link that must not be resolved
            head = file.read(20)
    except OSError:
        return ""
    if head[:4] != b"\x7fELF":
        return ""
    number = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
    return ELF_MACHINES.get(number, "")


def emulated() -> bool:
    """Whether software translates this host's instructions: wall time is then no latency."""
    return bool(emulation())


def affinity() -> list[int]:
    """The processors that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(threads: int) -> list[int]:
    """Where cores differ, restrict this process to the `threads` fastest; return its processors.

    Otherwise the scheduler moves it between large and small cores, and the times are a mixture.
    """
    allowed = affinity()
    speed = {c: _number(f"{CPUS}/cpu{c}/cpu_capacity") for c in allowed}
    if not any(speed.values()):
        speed = {c: _number(f"{CPUS}/cpu{c}/cpufreq/cpuinfo_max_freq") for c in allowed}
    if len(set(speed.values())) > 1:
        os.sched_setaffinity(0, sorted(allowed, key=lambda c: (-speed[c], -c))[:threads])
    return affinity()


def _number(path: str) -> int:
    text = read(path)
    return int(text) if re.fullmatch(r"-?[0-9]{1,15}", text) else 0


def available_bytes() -> int | None:
    """Memory that a program can still get, here or in this container; None if it is unknown."""
    found = re.search(r"MemAvailable:\s*([0-9]{1,15}) kB", read("/proc/meminfo"))
    free = [int(found[1]) * 1024] if found else []
    # The limit itself, not what is left of it: most of what is used can be files in memory.
    for limit in (".max", "/memory.limit_in_bytes"):
        if most := _number(f"/sys/fs/cgroup/memory{limit}"):
            free.append(most)
    return min(free) if free else None


def state() -> dict[str, Any]:
    """What may change during a measurement; unreadable values are left out.

    `frequency`: Hz of the slowest processor in use. `temperature`: degrees Celsius of the hottest
    zone. `throttled`: how often the chip slowed itself down. `battery`: percent, and `on_battery`
    if it discharges. `load`: processes that need a processor.
    """
    cpus = affinity() or [0]
    hertz = [1000 * _number(f"{CPUS}/cpu{c}/cpufreq/scaling_cur_freq") for c in cpus]
    zones = [_number(str(p)) for p in Path("/sys/class/thermal").glob("thermal_zone*/temp")]
    counts = [_number(f"{CPUS}/cpu{c}/thermal_throttle/core_throttle_count") for c in cpus]
    board = read("/sys/devices/platform/soc/soc:firmware/get_throttled")  # Raspberry Pi
    flags = int(board, 16) if re.fullmatch(r"(0x)?[0-9a-f]{1,8}", board) else 0
    found: dict[str, Any] = {
        "frequency": max(0, min(hertz)),
        "temperature": max((z / 1000 for z in zones if -50_000 < z < 200_000), default=0),
        "throttled": max(0, *counts) or flags,
        **_battery(),
    }
    found = {name: value for name, value in found.items() if value}
    with suppress(AttributeError, OSError):  # systems without it
        found["load"] = round(os.getloadavg()[0], 2)
    return found


def _battery() -> dict[str, Any]:
    for path in sorted(Path("/sys/class/power_supply").glob("*/type")):
        if read(str(path)) == "Battery" and read(str(path.parent / "scope")) != "Device":
            drained = read(str(path.parent / "status")) == "Discharging"
            level = line(read(str(path.parent / "capacity")), 20)
            return {"battery": f"{level or '?'} %", "on_battery": "yes" if drained else ""}
    return {}


def host_info() -> dict[str, Any]:
    """This host, for a table's header; unreadable values are left out."""
    info = _first()
    flags = info.get("flags", info.get("Features", "")).split()
    now, cpu = state(), (affinity() or [0])[0]
    found = {
        "machine": platform.machine(),
        "system": line(f"{platform.system()} {platform.release().partition('-')[0]}", 60),
        "cores": os.cpu_count(),
        "affinity": affinity(),
        "features": " ".join(flag for flag in FEATURES if flag in flags),
        "cache": line(info.get("cache size", ""), 60),
        "l2_cache": line(read(f"{CPUS}/cpu0/cache/index2/size"), 60),
        "l3_cache": line(read(f"{CPUS}/cpu0/cache/index3/size"), 60),
        "governor": line(read(f"{CPUS}/cpu{cpu}/cpufreq/scaling_governor"), 60),
        "frequency": now.get("frequency"),
        "virtual": "yes" if "hypervisor" in flags else "",
        "temperature": f"{now['temperature']:g} C" if "temperature" in now else "",
        "battery": now.get("battery"),
        "on_battery": now.get("on_battery"),
    }
    return {name: value for name, value in found.items() if value}
