"""Warnings about a device whose times are doubtful, before a measurement and after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from latency.engines.torch.cuda_facts import capped, slowed

FREQUENCY_CHANGE = 0.05  # the share by which a clock may move without a warning
# Degrees Celsius at which a Raspberry Pi slows down (its documentation, "Frequency management and
# thermal control"); phones and laptops slow down earlier, or not much later.
HOT = 85.0
GPU_STATE = ("sm_clock_mhz", "throttle", "temperature_c", "power_w", "persistence", "busy_before",
             "busy_with")  # fmt: skip


def warnings(
    host_info: dict[str, Any],
    states: Sequence[dict[str, Any]],
    threads: int = 1,
    spread: float | None = None,
) -> list[str]:
    """One line per warning, from `host_info` before the first job, and from the device's `states`
    and the samples' `spread` (IQR / median) since then."""
    found = []
    if host_info.get("on_battery") or any(state.get("on_battery") for state in states):
        found.append("it runs on battery, which slows many chips: connect it to power")
    governor = host_info.get("governor", "")
    if governor not in ("", "performance"):
        found.append(
            f"its frequency governor is {governor!r}, so clocks follow the load: set it to "
            "'performance'"
        )
    accelerator = host_info.get("accelerator", {})
    # Before the first job, what its own reading tells: that another program has the GPU, say.
    found += _slowdowns(states) if states else slowed([accelerator])
    found += capped(accelerator)
    loads = sorted(state["load"] for state in states if "load" in state)
    if loads and loads[len(loads) // 2] > threads + 1:
        found.append(
            f"other programs ran beside it (load {loads[len(loads) // 2]:g}, {threads} of it "
            "ours): close them"
        )
    if found and spread is not None:
        found = [f"{line} (samples spread by {spread:.1%})" for line in found]
    return found


def _slowdowns(states: Sequence[dict[str, Any]]) -> list[str]:
    """Warnings about clocks, heat and throttling during the measurement."""
    found = []
    hertz = [state["frequency"] for state in states if "frequency" in state]
    if hertz and min(hertz) < (1 - FREQUENCY_CHANGE) * max(hertz):
        found.append(
            f"its clock moved between {min(hertz) / 1e9:.2f} and {max(hertz) / 1e9:.2f} GHz: "
            "cool it, or fix its frequency"
        )
    counts = [state.get("throttled", 0) for state in states]
    if len(set(counts)) > 1:
        found.append("the chip throttled itself while it was measured: cool it")
    elif counts and counts[0]:
        found.append("the chip has throttled itself since it was started: cool it, restart it")
    heat = [state["temperature"] for state in states if "temperature" in state]
    if heat and max(heat) >= HOT:
        found.append(f"it went from {heat[0]:.0f} to {max(heat):.0f} degrees Celsius: cool it")
    if states and "sm_clock_mhz" in states[0]:
        found += slowed(states)
    return found


def states(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The first and last state of a campaign, for a table's header."""
    return {"state_first": found[0], "state_last": found[-1]} if found and found[0] else {}
