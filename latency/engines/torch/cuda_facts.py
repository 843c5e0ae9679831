"""The state of an NVIDIA GPU that affects latencies: clocks, temperature, power, throttling.

They are read through NVML's Python package (nvidia-ml-py) if it is installed, else through
nvidia-smi. Values that neither has are left out.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

# Bits of NVML's "clocks event reasons" (NVML API reference, NvmlClocksEventReasons).
REASONS = {
    0x001: "idle",
    0x002: "application clocks",
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "software thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "power brake",
    0x100: "display clocks",
}
BENIGN = {"idle", "application clocks", "display clocks"}  # set by a person, or no work to do
CLOCK_CHANGE = 0.05  # the share by which a clock may move without a warning
BUSY_SHARE = 0.05  # of the time, for which other programs may use the GPU without a warning
MOST_PROCESSES = 3  # of those that use the GPU are named
# Of the default power, of the highest clock: lower ones are named. Many cards do not reach the
# highest clock that they name when they are loaded and cool.
LEAST_POWER, LEAST_CLOCK = 0.95, 0.8


def read_facts(uuid: str) -> dict[str, Any]:
    """The present state of the GPU with that UUID ("GPU-..."); empty if unknown. `utilization`:
    the share of the last moments (NVML: up to a second) in which a kernel ran, of any program."""
    return _from_nvml(uuid) or _from_smi(uuid)


def throttle_words(mask: int) -> str:
    """NVML's bits in words; "none" if no bit is set."""
    known = [word for bit, word in REASONS.items() if mask & bit]
    rest = mask & ~sum(REASONS)
    return ", ".join([*known, *([f"0x{rest:x}"] if rest else [])]) or "none"


def slowed(states: Sequence[dict[str, Any]]) -> list[str]:
    """Reasons in some readings why samples taken between them may differ, a line each."""
    found = []
    words = {word for facts in states for word in facts.get("throttle", "").split(", ")}
    if reasons := sorted(words - BENIGN - {"", "none"}):
        found.append(f"the GPU was slowed by: {', '.join(reasons)}")
    clocks = [facts["sm_clock_mhz"] for facts in states if "sm_clock_mhz" in facts]
    if clocks and min(clocks) < (1 - CLOCK_CHANGE) * max(clocks):
        found.append(
            f"the GPU's clock moved between {min(clocks):g} and {max(clocks):g} MHz: lock it "
            f"with nvidia-smi --lock-gpu-clocks"
        )
    busy = max((facts.get("busy_before", 0.0) for facts in states), default=0.0)
    if busy > BUSY_SHARE:
        who = next((f" ({facts['busy_with']})" for facts in states if facts.get("busy_with")), "")
        found.append(
            f"another program used the GPU for {busy:.0%} of the time before this began{who}: end "
            "it, or choose another GPU with CUDA_VISIBLE_DEVICES"
        )
    if any(facts.get("persistence") == "disabled" for facts in states):
        found.append("persistence mode is off: the driver may unload between runs")
    return found


def capped(facts: Mapping[str, Any]) -> list[str]:
    """Limits in a reading under load that someone set below what the GPU can do, a line each: the
    times are those of a GPU with that limit."""
    found = []
    power, usual = facts.get("power_limit_w"), facts.get("power_default_w")
    if power and usual and power < LEAST_POWER * usual:
        found.append(
            f"the GPU's power is limited to {power:g} W, by default {usual:g} W: times are of "
            "that limit; nvidia-smi --power-limit sets another"
        )
    clock, most = facts.get("sm_clock_mhz"), facts.get("sm_clock_max_mhz")
    if clock and most and clock < LEAST_CLOCK * most:
        found.append(
            f"the GPU's clock was {clock:g} MHz under load, it can be {most:g} MHz: times are of "
            "that clock; nvidia-smi -q -d CLOCK,PERFORMANCE says what limits it, "
            "--reset-gpu-clocks ends a lock"
        )
    return found


def other_processes(uuid: str) -> dict[int, int | None]:
    """Processes but this one that use the GPU with that UUID: number -> bytes of its memory, None
    if that is not told. Empty if nothing tells."""
    try:
        import pynvml as nvml

        nvml.nvmlInit()
    except ImportError:
        return _processes_from_smi(uuid)
    except nvml.NVMLError:
        return _processes_from_smi(uuid)
    try:
        listed = nvml.nvmlDeviceGetComputeRunningProcesses(nvml.nvmlDeviceGetHandleByUUID(uuid))
        found = {int(each.pid): each.usedGpuMemory for each in listed}
    except nvml.NVMLError:
        found = {}
    finally:
        nvml.nvmlShutdown()
    return {pid: size for pid, size in found.items() if pid != os.getpid()}


def process_words(processes: Mapping[int, int | None]) -> str:
    """Those processes, the largest first, as "process 12 with 3.0 GiB, process 7"."""
    order = sorted(processes.items(), key=lambda each: -(each[1] or 0))
    words = [f"process {pid}" + (f" with {size / 2**30:.1f} GiB" if size else "")
             for pid, size in order[:MOST_PROCESSES]]  # fmt: skip
    more = len(order) - MOST_PROCESSES
    return ", ".join([*words, *([f"{more} more"] if more > 0 else [])])


def _processes_from_smi(uuid: str) -> dict[int, int | None]:
    command = ["nvidia-smi", f"--id={uuid}", "--query-compute-apps=pid,used_memory"]
    command.append("--format=csv,noheader,nounits")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    rows = (re.fullmatch(r"\s*(\d+)\s*,\s*(\S.*?)\s*", row) for row in done.stdout.splitlines())
    found = {
        int(row[1]): int(row[2]) * 2**20 if row[2].isascii() and row[2].isdigit() else None
        for row in rows
        if row
    }
    return {pid: size for pid, size in found.items() if pid != os.getpid()}


def _from_nvml(uuid: str) -> dict[str, Any]:
    try:
        import pynvml as nvml

        nvml.nvmlInit()
    except ImportError:
        return {}
    except nvml.NVMLError:
        return {}
    found: dict[str, Any] = {}
    try:
        gpu = nvml.nvmlDeviceGetHandleByUUID(uuid)
        persistence = ("disabled", "enabled")
        reads: list[tuple[str, Callable[[], Any]]] = [
            ("driver", nvml.nvmlSystemGetDriverVersion),
            ("sm_clock_mhz", lambda: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM)),
            ("sm_clock_max_mhz", lambda: nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM)),
            ("memory_clock_mhz", lambda: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM)),
            ("temperature_c",
             lambda: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)),
            ("power_w", lambda: nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3),
            ("power_limit_w", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1e3),
            ("power_default_w",
             lambda: nvml.nvmlDeviceGetPowerManagementDefaultLimit(gpu) / 1e3),
            ("utilization", lambda: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100),
            ("persistence", lambda: persistence[nvml.nvmlDeviceGetPersistenceMode(gpu)]),
            # Drivers before 535 have the first of these, newer ones the second.
            ("throttle",
             lambda: throttle_words(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu))),
            ("throttle", lambda: throttle_words(nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu))),
        ]  # fmt: skip
        for name, read in reads:
            with suppress(nvml.NVMLError):  # not every GPU has every value
                found[name] = read()
    except nvml.NVMLError:
        pass
    finally:
        nvml.nvmlShutdown()
    return found


# Field of `nvidia-smi --query-gpu` -> name here, and how to read the value.
QUERY: dict[str, tuple[str, Callable[[str], Any]]] = {
    "driver_version": ("driver", str),
    "clocks.current.sm": ("sm_clock_mhz", float),
    "clocks.max.sm": ("sm_clock_max_mhz", float),
    "clocks.current.memory": ("memory_clock_mhz", float),
    "temperature.gpu": ("temperature_c", float),
    "power.draw": ("power_w", float),
    "enforced.power.limit": ("power_limit_w", float),
    "power.default_limit": ("power_default_w", float),
    "utilization.gpu": ("utilization", lambda text: float(text) / 100),
    "persistence_mode": ("persistence", str.lower),
}
REASONS_FIELDS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")  # new, old


def _from_smi(uuid: str) -> dict[str, Any]:
    for reasons in REASONS_FIELDS:
        query = {**QUERY, reasons: ("throttle", lambda text: throttle_words(int(text, 16)))}
        command = ["nvidia-smi", f"--id={uuid}", f"--query-gpu={','.join(query)}"]
        command.append("--format=csv,noheader,nounits")
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return {}
        values = [value.strip() for value in done.stdout.strip().split(",")]
        if done.returncode == 0 and len(values) == len(query):
            found: dict[str, Any] = {}
            for (name, read), value in zip(query.values(), values, strict=True):
                # It writes "[N/A]", "N/A" and the like for missing values.
                if value and not value.startswith("["):
                    with suppress(ValueError):
                        found[name] = read(value)
            return found
    return {}
