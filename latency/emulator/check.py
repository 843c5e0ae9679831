"""Compare the estimate with ncnn's published one-thread benchmark, network by network."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from latency.emulator.cores import Core
from latency.emulator.counter import CountRequest
from latency.emulator.estimator import Estimator, Work
from latency.emulator.model import (
    CycleModel,
    Terms,
    fit_cycle_model,
    left_out_seconds,
    relative_errors,
)
from latency.emulator.ncnn_benchmark import NETWORKS, benchmark_network
from space.common.errors import MissingDataError
from space.common.files import check_regular, read_text
from space.common.text import shorten

IN_DATA = Path("arm") / "ncnn_rpi_1thread.csv"  # the published rows, below $G4NAS_DATA
SOURCE = "ncnn, benchmark/README.md (github.com/Tencent/ncnn): one thread, min of its loop"

# The terms that are fitted for a core: those of docs/results/estimated-tables.md with the least
# left-out errors.
FITTED = {"cortex-a76": Terms("cycles", (3,)), "cortex-a72": Terms("instructions", (1,))}

LARGE_FLOPS = 1e9
SHORTEST_MS, LONGEST_MS = 1e-3, 1e6  # of a published network
MOST_BYTES = 2**26  # of the published table


def published_path(path: Path | None) -> Path:
    """The table of ncnn's published benchmark: `path`, else the one below $G4NAS_DATA.

    Raises:
        MissingDataError: neither is set, or the file is missing.
        ValueError: it is a folder, a pipe or a device.
    """
    if path is None and not os.environ.get("G4NAS_DATA"):
        raise MissingDataError(
            "ncnn's published benchmark is not part of this package: name its table with "
            f"--published FILE, or the folder that has {IN_DATA} with G4NAS_DATA"
        )
    path = path or Path(os.environ["G4NAS_DATA"]) / IN_DATA
    try:
        check_regular(path)
    except FileNotFoundError:
        raise MissingDataError(
            f"the published benchmark must be at {path}; it is not part of this package"
        ) from None
    return path


def published_seconds(core: Core, path: Path) -> dict[str, float]:
    """{network: seconds} that ncnn publishes for the core's board, from the table at `path`.

    Raises:
        ValueError: a row of that board is damaged, or there is none; one line with file and line.
        OSError: the file cannot be read.
    """
    reader = csv.DictReader(io.StringIO(read_text(path, most_bytes=MOST_BYTES), newline=""))
    seconds: dict[str, float] = {}
    try:
        if missing := {"device", "network", "min_ms"} - set(reader.fieldnames or ()):
            raise ValueError(
                f"must have the columns device, network, min_ms; it lacks {min(missing)}"
            )
        for row in reader:
            if row["device"] != core.device:
                continue
            if row["network"] in seconds:
                raise ValueError(f"a second row of {shorten(row['network'])}")
            seconds[row["network"]] = _milliseconds(row["min_ms"]) / 1e3
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}, line {max(1, reader.line_num)}: {error}") from None
    if not seconds:
        raise ValueError(f"{path}: must have rows of the device {core.device}; it has none")
    return seconds


def _milliseconds(text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not SHORTEST_MS <= value <= LONGEST_MS:
        raise ValueError(
            f"`min_ms` must be a number from {SHORTEST_MS:g} to {LONGEST_MS:g}; "
            f"got {shorten(text)}"
        )
    return value


def benchmark_request(name: str) -> CountRequest:
    """A published network, as its benchmark runs it: repeatedly, with ncnn's default options.

    A run of a large network leaves nothing in the caches for the next one, so it is counted with
    cold caches.
    """
    net = benchmark_network(name)
    return CountRequest(net.text(), net.image, net.flops, evict=net.flops >= LARGE_FLOPS)


def chosen_networks(core: Core, names: Sequence[str], path: Path) -> dict[str, float]:
    """{network: published seconds} of `names`, by default of all that this package can build.

    Raises:
        ValueError: a name that is not published or that this package cannot build, or a damaged
            table.
        OSError: the file cannot be read.
    """
    seconds = published_seconds(core, path)
    known = [name for name in NETWORKS if name in seconds]
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"network must be one of {', '.join(known)}; got {unknown[0]!r}")
    return {name: seconds[name] for name in names or known}


def compare_with_published(
    estimator: Estimator, published: dict[str, float], works: Sequence[Work]
) -> dict[str, Any]:
    """Errors on published networks, and the model fitted to all of them.

    The errors are those of an unfitted model, of a model with one factor, and of the core's model
    (`FITTED`). Fitted models predict networks left out of the fit, one at a time.

    Args:
        published: {network: seconds} of `chosen_networks`.
        works: the work of each network's `benchmark_request`.
    """
    core = estimator.core
    measured = np.array(list(published.values()))
    terms = FITTED[core.name]
    model = CycleModel()
    predicted = {"unfitted": np.array([model.seconds(work, core) for work in works])}
    if len(works) > 2 + len(terms.levels):
        predicted["one factor"] = left_out_seconds(works, measured, core, Terms())
        predicted["model"] = left_out_seconds(works, measured, core, terms)
        model = fit_cycle_model(works, measured, core, terms)
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
            "held_out": "ncnn's published benchmark, one at a time",
            **errors.get("model", errors["unfitted"]),
            "published": SOURCE,
            "by_model": errors,
            "rows": rows,
        },
    }


def format_check(found: dict[str, Any]) -> str:
    """The document of `compare_with_published` as text, one line a network."""
    rows, kinds = found["network_error"]["rows"], list(found["errors"])
    titles = [kind if kind == "unfitted" else f"{kind}, left out" for kind in kinds]
    lines = [
        f"{found['board']}, {found['engine']}; published: {found['source']}",
        "",
        f"{'network':20} {'published':>10} " + " ".join(f"{title:>26}" for title in titles),
    ]
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
    factor = f"factor {model['factor']:.4f} of {model['base']}, a miss of each level: {waits}"
    return "\n".join([*lines, "", f"model: {model['how']}", factor])
