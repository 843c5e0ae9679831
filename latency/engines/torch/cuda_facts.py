"""The state of an NVIDIA GPU that affects latencies: clocks, temperature, power, throttling.

They are read through NVML's Python package (nvidia-ml-py) if it is installed, else through
nvidia-smi. Values that neither has are left out.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
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
        found.append(
            f"another program used the GPU for {busy:.0%} of the time before this began: end it, "
            "or choose another GPU with CUDA_VISIBLE_DEVICES"
        )
    if any(facts.get("persistence") == "disabled" for facts in states):
        found.append("persistence mode is off: the driver may unload between runs")
    return found


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
            pairs = zip(query.values(), values, strict=True)
            # It writes "[N/A]" and the like for missing values.
            return {name: read(v) for (name, read), v in pairs if v and not v.startswith("[")}
    return {}
