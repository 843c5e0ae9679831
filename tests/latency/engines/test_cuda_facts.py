"""Facts about a GPU, told by stand-ins for NVML and nvidia-smi."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from latency.engines.torch.cuda_facts import (
    capped,
    other_processes,
    process_words,
    read_facts,
    slowed,
    throttle_words,
)


class NVMLError(Exception):
    pass


def fake_nvml(missing: tuple[str, ...] = ()) -> ModuleType:
    """A pynvml of one GPU; functions in `missing` say that they are not supported."""

    def refuse(*_: object) -> None:
        raise NVMLError("Not Supported")

    def handle(uuid: str) -> str:
        if uuid != "GPU-1":
            raise NVMLError("Not Found")
        return "gpu"

    functions = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByUUID": handle,
        "nvmlSystemGetDriverVersion": lambda: "580.95",
        "nvmlDeviceGetClockInfo": lambda gpu, kind: {1: 1755, 2: 2619}[kind],
        "nvmlDeviceGetMaxClockInfo": lambda gpu, kind: {1: 1980}[kind],
        "nvmlDeviceGetTemperature": lambda gpu, sensor: 41,
        "nvmlDeviceGetPowerUsage": lambda gpu: 312_500,
        "nvmlDeviceGetEnforcedPowerLimit": lambda gpu: 700_000,
        "nvmlDeviceGetPowerManagementDefaultLimit": lambda gpu: 700_000,
        "nvmlDeviceGetPersistenceMode": lambda gpu: 1,
        "nvmlDeviceGetComputeRunningProcesses": lambda gpu: [
            SimpleNamespace(pid=os.getpid(), usedGpuMemory=2**30),
            SimpleNamespace(pid=7, usedGpuMemory=None),
            SimpleNamespace(pid=8, usedGpuMemory=3 * 2**30),
        ],
        "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=35, memory=20),
        "nvmlDeviceGetCurrentClocksEventReasons": lambda gpu: 0x4,
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda gpu: 0x40,
    }
    module = ModuleType("pynvml")
    vars(module).update(NVMLError=NVMLError, NVML_CLOCK_SM=1, NVML_CLOCK_MEM=2)
    vars(module).update(NVML_TEMPERATURE_GPU=0)
    vars(module).update({n: refuse if n in missing else f for n, f in functions.items()})
    return module


def set_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str = "") -> None:
    """Make `script` the only nvidia-smi there is, or none."""
    if script:
        path = folder / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_through_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml())
    assert read_facts("GPU-1") == {
        "driver": "580.95",
        "sm_clock_mhz": 1755,
        "sm_clock_max_mhz": 1980,
        "memory_clock_mhz": 2619,
        "temperature_c": 41,
        "power_w": 312.5,
        "power_limit_w": 700.0,
        "power_default_w": 700.0,
        "utilization": 0.35,
        "persistence": "enabled",
        "throttle": "power cap",
    }


def test_what_the_gpu_does_not_tell_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetCurrentClocksEventReasons")
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(missing))
    facts = read_facts("GPU-1")
    assert "power_w" not in facts and facts["power_limit_w"] == 700.0
    assert facts["throttle"] == "hardware thermal slowdown"  # by the older name


@pytest.mark.parametrize("reasons", ["clocks_event_reasons", "clocks_throttle_reasons"])
def test_through_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reasons: str) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    row = "470.1, 1410, 1740, [N/A], 33, 61.5, 250.00, 350.00, 7, Disabled, 0x0000000000000005"
    script = f'case "$*" in *--id=GPU-1*{reasons}.active*) echo "{row}";; *) exit 2;; esac'
    set_smi(tmp_path, monkeypatch, script)
    assert read_facts("GPU-1") == {
        "driver": "470.1",
        "sm_clock_mhz": 1410.0,
        "sm_clock_max_mhz": 1740.0,
        "temperature_c": 33.0,
        "power_w": 61.5,
        "power_limit_w": 250.0,
        "power_default_w": 350.0,
        "utilization": 0.07,
        "persistence": "disabled",
        "throttle": "idle, power cap",
    }


def test_values_that_are_no_numbers_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    set_smi(tmp_path, monkeypatch, 'echo "535, N/A, 1740, x, 33, ERR!, 250, 350, , Enabled, 0xzz"')
    assert read_facts("GPU-1") == {
        "driver": "535", "sm_clock_max_mhz": 1740.0, "temperature_c": 33.0, "power_limit_w": 250.0,
        "power_default_w": 350.0, "persistence": "enabled",
    }  # fmt: skip


@pytest.mark.parametrize("missing", [("nvmlInit",), ("nvmlDeviceGetHandleByUUID",)])
def test_nothing_tells_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(missing))
    set_smi(tmp_path, monkeypatch)
    assert read_facts("GPU-1") == {}
    set_smi(tmp_path, monkeypatch, "echo No devices were found; exit 6")
    assert read_facts("GPU-1") == {}


def test_bits_in_words() -> None:
    assert throttle_words(0) == "none"
    assert throttle_words(0x28) == "hardware slowdown, software thermal slowdown"
    assert throttle_words(0x1001) == "idle, 0x1000"


def test_why_samples_may_differ() -> None:
    quiet = {"sm_clock_mhz": 1980, "throttle": "none", "persistence": "enabled"}
    assert slowed([quiet, {**quiet, "sm_clock_mhz": 1950, "throttle": "idle"}]) == []
    assert slowed([{}, {}]) == slowed([]) == []
    hot = {"sm_clock_mhz": 1500, "throttle": "idle, power cap", "persistence": "disabled"}
    power, clock, persistence = slowed([quiet, hot, quiet])
    assert power == "the GPU was slowed by: power cap"
    assert clock.startswith("the GPU's clock moved between 1500 and 1980 MHz")
    assert persistence.startswith("persistence mode is off")
    assert slowed([{"busy_before": 0.04}]) == []
    (busy,) = slowed([{"busy_before": 0.83}, {"busy_before": 0.83}])
    assert busy.startswith("another program used the GPU for 83% of the time before this began:")


def test_the_processes_beside_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml())
    assert other_processes("GPU-1") == {7: None, 8: 3 * 2**30}
    assert other_processes("GPU-2") == {}
    missing = ("nvmlDeviceGetComputeRunningProcesses",)
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(missing))
    assert other_processes("GPU-1") == {}


def test_the_processes_through_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    rows = f"{os.getpid()}, 500\n12, 1024\n13, [N/A]\nNo running processes found"
    script = f'case "$*" in *--id=GPU-1*--query-compute-apps=*) printf "{rows}";; esac'
    set_smi(tmp_path, monkeypatch, script)
    assert other_processes("GPU-1") == {12: 2**30, 13: None}
    set_smi(tmp_path, monkeypatch, "exit 6")
    assert other_processes("GPU-1") == {}
    (tmp_path / "nvidia-smi").unlink()
    assert other_processes("GPU-1") == {}


def test_processes_in_words() -> None:
    assert process_words({}) == ""
    assert process_words({7: None, 8: 3 * 2**30}) == "process 8 with 3.0 GiB, process 7"
    many = {pid: pid * 2**30 for pid in range(1, 6)}
    assert process_words(many).endswith("process 3 with 3.0 GiB, 2 more")


def test_a_busy_gpu_with_its_processes() -> None:
    (busy,) = slowed([{"busy_before": 0.5, "busy_with": "process 8 with 3.0 GiB"}])
    assert "for 50% of the time before this began (process 8 with 3.0 GiB): end it" in busy


def test_limits_that_someone_set() -> None:
    free = {"power_limit_w": 700.0, "power_default_w": 700.0, "sm_clock_mhz": 1755.0,
            "sm_clock_max_mhz": 1980.0}  # fmt: skip
    assert capped(free) == capped({}) == []
    (power,) = capped({**free, "power_limit_w": 350.0})
    assert power.startswith("the GPU's power is limited to 350 W, by default 700 W: times are of")
    (clock,) = capped({**free, "sm_clock_mhz": 1200.0})
    assert clock.startswith("the GPU's clock was 1200 MHz under load, it can be 1980 MHz: times")
