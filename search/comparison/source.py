"""Where the compared latencies come from: a target's table, or a measurement on this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from latency.engines.registry import get_engine
from latency.measure.network import ROUNDS, measure_networks
from latency.ondevice.host import chip
from latency.table.header import latency_line
from latency.table.load import load_table
from latency.table.op_model import OpCostModel
from search.result.rows import network_latency
from space.network.network import Network

Seconds = list[float | None]


@dataclass(frozen=True, slots=True)
class LatencySource:
    """`seconds` of networks at `batch` images, None for one that the source cannot time.

    `kind` is "measured", "published" or "estimated"; `line` describes the source to people.
    """

    kind: str
    line: str
    batch: int
    seconds: Callable[[Sequence[Network]], Seconds]


def open_source(target: str, batch: int | None) -> LatencySource:
    """The latency of networks on a target: measured here for `cpu`, else from its table.

    Raises:
        ValueError: an unknown target, or a batch that its table does not have.
    """
    if target == "cpu":
        return _this_machine(batch or 1)
    table = load_table(target)
    line, batch = latency_line(table.header), batch or table.header.batch
    if batch != table.header.batch:
        if not isinstance(table, OpCostModel):
            raise ValueError(
                f"{target} was measured at batch {table.header.batch}; got --batch {batch}"
            )
        table = dataclasses.replace(table, header=dataclasses.replace(table.header, batch=batch))
        line = f"{latency_line(table.header)}; batch {batch} is an extrapolation"

    def seconds(networks: Sequence[Network]) -> Seconds:
        return [network_latency(table, network) for network in networks]

    return LatencySource(table.header.source, line, batch, seconds)


def _this_machine(batch: int) -> LatencySource:
    engine = get_engine("onnxruntime")

    def seconds(networks: Sequence[Network]) -> Seconds:
        found: Seconds = measure_networks(networks, engine=engine.name, batch=batch).tolist()
        return found

    line = (
        f"latency: measured: {chip()}, {engine.name} {engine.version}, 1 thread, batch {batch}; "
        f"whole networks, median of {ROUNDS}"
    )
    return LatencySource("measured", line, batch, seconds)
