"""The estimate against ncnn's published one-thread benchmark, network by network."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency.emulator.cores import Core
from latency.emulator.counter import Job
from latency.emulator.estimator import Estimator, Request, Work
from latency.emulator.model import CycleModel, Terms, fit, left_out, relative_errors
from latency.emulator.ncnn_benchmark import NETWORKS, input_size, published_network

PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "arm" / "ncnn_rpi_1thread.csv"
SOURCE = "ncnn, benchmark/README.md (github.com/Tencent/ncnn): one thread, min of its loop"

# What is fitted for a core, of what docs/estimate.md compares: chosen by the left-out errors.
FITTED = {"cortex-a76": Terms("cycles", (3,)), "cortex-a72": Terms("instructions", (1,))}

HELD_OUT = "ncnn's published benchmark, one at a time"
LARGE_FLOPS = 1e9

Floats = NDArray[np.float64]
Count = Callable[[Estimator, Sequence[Request]], list[Work]]


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


def chosen_networks(core: Core, names: Sequence[str], path: Path = PUBLISHED) -> dict[str, float]:
    """{network: published seconds} of the names; without any, of all that are written here.

    Raises:
        ValueError: a name that is not published or not written here.
        OSError: the published rows are not there.
    """
    seconds = published_seconds(core, path)
    known = [name for name in NETWORKS if name in seconds]
    for name in names:
        if name not in known:
            raise ValueError(f"network must be one of {', '.join(known)}; got {name!r}")
    return {name: seconds[name] for name in names or known}


def check(
    estimator: Estimator, names: Sequence[str], count: Count, path: Path = PUBLISHED
) -> dict[str, Any]:
    """Errors on the published networks, and the model fitted to all of them.

    Nothing fitted; one factor; and the model of the core (`FITTED`). Fitted ones are judged on
    networks left out of the fit, one at a time.
    """
    core = estimator.core
    published = chosen_networks(core, names, path)
    works = count(estimator, [request(name) for name in published])
    measured = np.array(list(published.values()))
    terms = FITTED[core.name]
    predicted = {"unfitted": np.array([CycleModel().seconds(work, core) for work in works])}
    model = CycleModel()
    if len(works) > 2 + len(terms.levels):
        predicted["one factor"] = left_out(works, measured, core, Terms())
        predicted["model"] = left_out(works, measured, core, terms)
        model = fit(works, measured, core, terms)
    rows = [
        {
            "network": name,
            "published_s": float(measured[i]),
            "instructions": round(works[i].instructions),
            **{f"{kind}_s": float(f"{values[i]:.5g}") for kind, values in predicted.items()},
        }
        for i, name in enumerate(published)
    ]
    errors = {kind: relative_errors(values, measured) for kind, values in predicted.items()}
    how = f"least squared relative error on {len(works)} published networks of {terms}"
    return {
        "core": core.name,
        "board": core.board,
        "engine": f"{estimator.engine} {estimator.engine_version}",
        "versions": estimator.versions,
        "source": SOURCE,
        "errors": errors,
        "model": {**asdict(model), "how": how},
        "network_error": {
            "networks": len(works),
            "held_out": HELD_OUT,
            **errors.get("model", errors["unfitted"]),
            "published": SOURCE,
            "by_model": errors,
            "rows": rows,
        },
    }


def check_lines(found: dict[str, Any]) -> str:
    """The comparison for people: a network a line."""
    rows, kinds = found["network_error"]["rows"], list(found["errors"])
    lines = [f"{found['board']}, {found['engine']}; published: {found['source']}", ""]
    titles = [f"{kind}{', left out' if kind != 'unfitted' else ''}" for kind in kinds]
    lines.append(f"{'network':20} {'published':>10} " + " ".join(f"{t:>26}" for t in titles))
    for row in rows:
        cells = [f"{row['network']:20}", f"{row['published_s'] * 1e3:7.2f} ms"]
        for kind in kinds:
            value = row[f"{kind}_s"]
            cells.append(f"{value * 1e3:15.2f} ms {value / row['published_s'] - 1:+7.1%}")
        lines.append(" ".join(cells))
    for name in ("median_abs_error", "mean_abs_error", "max_abs_error", "bias"):
        cells = [f"{found['errors'][kind][name]:>26.1%}" for kind in kinds]
        lines.append(f"{name.replace('_', ' '):31} " + " ".join(cells))
    model = found["model"]
    waits = ", ".join(f"{wait:.2f}" for wait in model["waits"])
    lines += ["", f"model: {model['how']}"]
    lines += [f"factor {model['factor']:.4f} of {model['base']}, a miss of each level: {waits}"]
    return "\n".join(lines)
