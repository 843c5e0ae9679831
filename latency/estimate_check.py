"""The estimate against ncnn's published one-thread benchmark, network by network."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency.emulator.cores import Core
from latency.emulator.counter import Job
from latency.emulator.estimator import Estimator, Request, Work
from latency.emulator.model import CycleModel, fit, left_out, relative_errors
from latency.emulator.networks import NETWORKS, input_size, published_network

PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "arm" / "ncnn_rpi_1thread.csv"
SOURCE = "ncnn, benchmark/README.md (github.com/Tencent/ncnn): one thread, min of its loop"

# Levels of cache whose waits are fitted for a core: chosen by the left-out error.
FITTED_LEVELS = {"cortex-a76": (3,), "cortex-a72": (2,)}

LARGE_FLOPS = 1e9

Floats = NDArray[np.float64]
Count = Callable[[Estimator, Sequence[Request]], list[Work]]


@dataclass(frozen=True, slots=True)
class Published:
    """Networks with their work on a core and their published seconds, float64 [n]."""

    names: tuple[str, ...]
    works: tuple[Work, ...]
    seconds: Floats


def published_seconds(core: Core, path: Path = PUBLISHED) -> dict[str, float]:
    """{network: seconds} that ncnn publishes for the core's board.

    Raises:
        OSError: the file is not there.
    """
    if not path.is_file():
        raise OSError(f"the published benchmark must be at {path}; it is not part of this package")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["device"] == core.device]
    return {row["network"]: float(row["min_ms"]) / 1e3 for row in rows}


def request(name: str) -> Request:
    """A published network, as its benchmark runs it: over and over, ncnn's defaults.

    A large one leaves nothing of a run in the caches for the next; it is run once, from cold.
    """
    net = published_network(name)
    size = input_size(name)
    return Request(Job(net.text(), (size, size, 3), evict=net.flops >= LARGE_FLOPS), net.flops)


def published_work(
    estimator: Estimator, names: Sequence[str], count: Count, path: Path = PUBLISHED
) -> Published:
    """The networks that are written here and published for the core's board; all if no names.

    Raises:
        ValueError: a name that is not among them.
        OSError: nothing is published here, or a tool is missing.
    """
    seconds = published_seconds(estimator.core, path)
    known = [name for name in NETWORKS if name in seconds]
    chosen = list(names) or known
    for name in chosen:
        if name not in known:
            raise ValueError(f"network must be one of {', '.join(known)}; got {name!r}")
    works = count(estimator, [request(name) for name in chosen])
    return Published(tuple(chosen), tuple(works), np.array([seconds[n] for n in chosen]))


def check(
    estimator: Estimator, names: Sequence[str], count: Count, path: Path = PUBLISHED
) -> dict[str, Any]:
    """Errors on the published networks, and the model fitted to all of them.

    Nothing fitted; one factor; and a factor with the wait of a level of cache. Both fitted ones
    are judged on networks left out of the fit, one at a time.
    """
    published = published_work(estimator, names, count, path)
    core, works, measured = estimator.core, published.works, published.seconds
    levels = FITTED_LEVELS[core.name]
    predicted = {"unfitted": np.array([CycleModel().seconds(work, core) for work in works])}
    model = CycleModel()
    if len(works) > 2 + len(levels):
        predicted["one factor, left out"] = left_out(works, measured, core)
        predicted["factor and wait, left out"] = left_out(works, measured, core, levels=levels)
        model = fit(works, measured, core, levels=levels)
    rows = [
        {
            "network": name,
            "published_s": float(measured[i]),
            "instructions": round(works[i].instructions),
            **{f"{kind}_s": float(f"{values[i]:.5g}") for kind, values in predicted.items()},
        }
        for i, name in enumerate(published.names)
    ]
    errors = {kind: relative_errors(values, measured) for kind, values in predicted.items()}
    waits = ", ".join(f"level {level}" for level in levels)
    how = (
        f"least squared relative error on {len(works)} published networks, with the wait of "
        f"{waits} cache misses"
    )
    return {
        "core": core.name,
        "board": core.board,
        "engine": f"{estimator.engine} {estimator.engine_version}",
        "versions": estimator.versions,
        "source": SOURCE,
        "errors": errors,
        "model": {"factor": model.factor, "wait_cycles": list(model.waits), "how": how},
        "network_error": {"networks": len(works), "published": SOURCE, **errors, "rows": rows},
    }


def check_lines(found: dict[str, Any]) -> str:
    """The comparison for people: a network a line."""
    rows, kinds = found["network_error"]["rows"], list(found["errors"])
    lines = [f"{found['board']}, {found['engine']}; published: {found['source']}", ""]
    lines.append(f"{'network':20} {'published':>10} " + " ".join(f"{k:>26}" for k in kinds))
    for row in rows:
        cells = [f"{row['network']:20}", f"{row['published_s'] * 1e3:7.2f} ms"]
        for kind in kinds:
            value = row[f"{kind}_s"]
            cells.append(f"{value * 1e3:15.2f} ms {value / row['published_s'] - 1:+7.1%}")
        lines.append(" ".join(cells))
    for name in ("median_abs_error", "max_abs_error", "bias"):
        cells = [f"{found['errors'][kind][name]:>26.1%}" for kind in kinds]
        lines.append(f"{name.replace('_', ' '):31} " + " ".join(cells))
    model = found["model"]
    waits = ", ".join(f"{wait:.2f}" for wait in model["wait_cycles"])
    lines += ["", f"factor {model['factor']:.4f}, cycles a miss of each level waits: {waits}"]
    return "\n".join(lines)
