"""End-to-end latencies of a result's networks, where the table is of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from latency.devices.open import open_session
from latency.measure.network import is_of_this_machine, time_networks
from latency.table.header import TableHeader
from search.result.rows import ResultRow


def with_measurements(rows: Sequence[ResultRow], header: TableHeader) -> list[ResultRow]:
    """The rows with the end-to-end latency measured now, where the table is of this machine; else
    as they are.

    Raises:
        ImportError: the engine of the table is not installed.
    """
    if not is_of_this_machine(header):
        return list(rows)
    with open_session("cpu", header.engine, threads=header.threads, dtype=header.dtype) as session:
        timings = time_networks(session, [row.network for row in rows], batch=header.batch)
    then_s = header.noise.get("reference_s")
    pace = None if then_s is None else timings.reference_s / then_s
    return [
        replace(row, measured_s=float(value), pace=pace)
        for row, value in zip(rows, timings.seconds(), strict=True)
    ]
