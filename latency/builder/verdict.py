"""Whether a table still predicts a device, by the error that it states."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from latency.builder.random_networks import SPACE
from latency.table.header import CHANNELS, CLASSES, TableHeader, mean_error

FACTOR = 2.0  # times the stated error: it comes from other, often fewer, networks
LEAST = 0.03  # repeated measurements of a network agree within this


def table_verdict(
    header: TableHeader, chip: str, device: str, found: Mapping[str, Any]
) -> dict[str, Any]:
    """Compare the mean error of scaled predictions with the table's own.

    On the table's chip the error at the machine's speed of then counts too: a machine that has
    become slower as a whole is no fault of the table.

    Args:
        chip: that was measured, on `device`.
        found: `family`, `relaxed`, `scaled`, `at_pace` and `pace` of `validate_table`.

    Returns:
        `holds`: None where the table states no such error. `error`, `stated`, `allowed`: mean
        absolute relative errors. `text`: a sentence. `advice`: what to do; empty if it holds.
    """
    own = chip == header.device
    now = float(found["scaled"]["mean_abs_error"])
    then = float(found["at_pace"]["scaled"]["mean_abs_error"]) if own and found["at_pace"] else now
    stated = mean_error(header)
    verdict: dict[str, Any] = {"holds": None, "error": now, "stated": None, "allowed": None}
    if stated is None or found["family"] != SPACE or found["relaxed"]:
        what = "it states no error" if stated is None else "its error is of other networks"
        return verdict | {"text": f"none, since {what}: mean error {now:.1%}", "advice": ""}
    allowed = max(LEAST, FACTOR * stated[0])
    holds = min(now, then) <= allowed
    verdict |= {"holds": holds, "stated": stated[0], "allowed": round(allowed, 5)}
    limit = f"the table states {stated[0]:.1%}, up to {allowed:.1%} is accepted"
    if holds and now > allowed:
        verdict["error"] = then
        pace = found["pace"]["now_s"] / found["pace"]["then_s"] - 1
        text = f"the table holds at its pace: mean error {then:.1%} ({limit}); the machine takes "
        text += f"{pace:+.1%} of the time it took then"
        return verdict | {"text": text, "advice": ""}
    if holds:
        text = f"the table holds: mean error of its scaled predictions {now:.1%} ({limit})"
        return verdict | {"text": text, "advice": ""}
    where = "" if own else f" on {chip}"
    command = shlex.join(["python", "-m", "latency.build", *_options(header, device)])
    reason = "on a quiet machine" if own else "for a table of this chip"
    return verdict | {
        "text": f"the table does not hold{where}: mean error of its scaled predictions {now:.1%} "
        f"({limit})",
        "advice": f"run {command} {reason}",
    }


def _options(header: TableHeader, device: str) -> list[str]:
    """The options of `latency.build` for such a table of a device."""
    options = ["--device", device, "--engine", header.engine]
    for name in ("threads", "batch", "dtype", "input", "channels", "classes"):
        value = getattr(header, name)
        usual = {"dtype": "float32", "channels": CHANNELS, "classes": CLASSES}.get(name, 1)
        if value != usual and value not in ("", "224x224"):
            options += [f"--{name}", str(value)]
    return options
