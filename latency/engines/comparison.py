"""Which engines can run on this host, and how fast a network is on each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from latency.engines.base import Engine
from latency.engines.memory import check_memory, engine_errors
from latency.engines.registry import ENGINES, get_engine
from latency.ondevice import host
from latency.ondevice.timing import time_rounds
from space.network.block import Block
from space.zoo.catalog import published_network

CANNOT_RUN = (ImportError, OSError, MemoryError)  # what opening an engine raises where it cannot


def engine_identity(engine: Engine) -> dict[str, str]:
    """`version`, and the `device` of an engine on an accelerator: which of several it is."""
    found = {"version": engine.version}
    if device := getattr(engine, "device_words", ""):
        found["device"] = device
    return found


def compare_engines(
    names: Sequence[str] = (),
    network: str | None = None,
    *,
    threads: int = 1,
    batch: int = 1,
    rounds: int = 15,
) -> dict[str, Any]:
    """Open each engine in each dtype; with a network, time it on those that can run, interleaved.

    Args:
        names: of engines, each taken once; none: all but null.
        network: the name of a published network.

    Returns:
        The arguments, `chip`, and in `engines` a row per engine and dtype: `engine`, `dtype`, and
        what `engine_identity` returns or, where it cannot run, `missing`; with a network also what
        `time_network` returns.

    Raises:
        ValueError: an unknown engine or network, or one whose times are no latency.
        MemoryError: the network needs more memory than there is.
        EngineError: an engine's library fails.
    """
    names = list(dict.fromkeys(names)) or [name for name in ENGINES if name != "null"]
    if network is not None and "null" in names:
        raise ValueError("the engine null makes its latencies up: leave it out of --engines")
    if network is not None and host.emulated():
        raise ValueError("this machine is emulated: its wall time is not latency")
    blocks = () if network is None else published_network(network).network().blocks
    engines: list[Engine] = []
    rows: list[dict[str, Any]] = []
    for name in names:
        for dtype in ENGINES[name].dtypes if name in ENGINES else ("float32",):
            rows.append({"engine": name, "dtype": dtype})
            try:
                engines.append(get_engine(name, threads=threads, dtype=dtype))
                rows[-1] |= engine_identity(engines[-1])
            except CANNOT_RUN as error:
                rows[-1]["missing"] = str(error)
    if network is not None:
        here = [row for row in rows if "version" in row]
        timed = time_network(blocks, engines, batch=batch, rounds=rounds)
        for row, more in zip(here, timed, strict=True):
            row |= more
    return {"chip": host.chip(), "threads": threads, "batch": batch, "network": network,
            "engines": rows}  # fmt: skip


def time_network(
    blocks: Sequence[Block], engines: Sequence[Engine], *, batch: int = 1, rounds: int = 15
) -> list[dict[str, float]]:
    """Seconds of a chain on each engine, all in the same rounds and each right after an untimed
    run, as a network in use. A row has `prepare_s`, `median_s` and `spread` (IQR / median)."""
    for engine in engines:
        check_memory([tuple(blocks)], batch, engine.dtype, engine)
    runs, prepare_s = [], []
    for engine in engines:
        started = time.monotonic()
        with engine_errors(engine.name):
            run = engine.prepare(tuple(blocks), batch)
            run.run()
        prepare_s.append(time.monotonic() - started)
        runs.append(run)
    clocks = [engine.clock for engine in engines]
    with engine_errors("an engine"):
        times = np.array(list(time_rounds(runs, None, clocks, rounds, [True] * len(runs))))
    rows = []
    for seconds, samples in zip(prepare_s, times.T, strict=True):
        q25, median, q75 = (float(q) for q in np.quantile(samples, (0.25, 0.5, 0.75)))
        rows.append({"prepare_s": seconds, "median_s": median, "spread": (q75 - q25) / median})
    return rows


def format_comparison(found: dict[str, Any]) -> str:
    """What `compare_engines` returns, a line per engine and dtype."""
    lines = []
    if found["network"]:
        threads = f"{found['threads']} thread{'s' * (found['threads'] > 1)}"
        where = f"{found['network']}, {found['chip']}, {threads}, batch {found['batch']}"
        lines.append(f"measured: {where}")
        lines.append(f"{'engine':14} {'dtype':8} {'ms':>8} {'IQR':>6} {'prepare s':>9}  version")
    for row in found["engines"]:
        words = f"{row['engine']:14} {row['dtype']:8}"
        if "median_s" in row:
            words += f" {row['median_s'] * 1e3:8.3f} {row['spread']:6.1%} {row['prepare_s']:9.2f} "
        lines.append(f"{words} {row_words(row)}")
    return "\n".join(lines)


def row_words(row: dict[str, Any]) -> str:
    """The version and device of a row, or what is missing."""
    if "missing" in row:
        return f"not here: {row['missing']}"
    return row["version"] + (f" on {row['device']}" if "device" in row else "")
