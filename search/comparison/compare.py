"""The comparison of the networks of the paper on a target, and where its latencies come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from latency.engines.registry import get_engine
from latency.measure.network import ROUNDS, measure_networks
from latency.ondevice.host import chip
from latency.table.header import latency_line
from latency.table.load import load_table
from latency.table.op_model import OpCostModel
from search.comparison.order import speed_orders
from search.comparison.rows import PaperRow, paper_rows, select_networks_to_compare
from search.result.rows import network_latency
from search.result.write import provenance
from space.network.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareConfig:
    """What to compare.

    Args:
        target: a table's name or path, or "cpu" to measure here.
        names: of networks; empty: all with a published error, or those of Table 7.
        budget: FLOPs; only networks with 2/3 to 3/2 of it.
        size: (height, width) of the images; None: each network's published input.
        batch: None: the target's.
        features_only: compare the backbones without their heads, as Table 7 does.
    """

    target: str = "arm"
    names: tuple[str, ...] = ()
    budget: str | None = None
    size: tuple[int, int] | None = None
    batch: int | None = None
    features_only: bool = False


@dataclass(frozen=True, slots=True)
class LatencySource:
    """Where latencies at `batch` images come from. `kind` is "measured", "published" or
    "estimated"; `line` describes the source to people."""

    kind: str
    line: str
    batch: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rows of a comparison, fastest first or by group, and where their latencies come from."""

    config: CompareConfig
    source: LatencySource
    rows: list[PaperRow]

    def record(self) -> dict[str, Any]:
        """The comparison for JSON."""
        return {
            "latency": self.source.line,
            "batch": self.source.batch,
            "features_only": self.config.features_only,
            **provenance(),
            "orders": [order.record() for order in speed_orders(self.rows)],
            "rows": [row.record(self.source.kind) for row in self.rows],
        }


def compare_networks(config: CompareConfig) -> Comparison:
    """Look up or measure the latency of every network.

    Raises:
        ValueError: an unknown network or target, a budget that is not FLOPs, no network is left,
            or an input or batch that does not fit.
    """
    only = config.features_only
    networks = select_networks_to_compare(config.names, config.budget, config.size, only)
    source, seconds = _latencies(config, [network for _, network in networks])
    rows = paper_rows(networks, seconds, config.target, source.batch, only)
    return Comparison(config, source, rows)


def _latencies(
    config: CompareConfig, networks: Sequence[Network]
) -> tuple[LatencySource, list[float | None]]:
    """The source, and the seconds of each network: measured here for `cpu`, else from the table of
    the target, None where it lacks a block."""
    if config.target == "cpu":
        engine, batch = get_engine("onnxruntime"), config.batch or 1
        line = (
            f"latency: measured: {chip()}, {engine.name} {engine.version}, 1 thread, "
            f"batch {batch}; whole networks, median of {ROUNDS}"
        )
        times = measure_networks(networks, engine=engine.name, batch=batch)
        return LatencySource("measured", line, batch), times.tolist()
    table = load_table(config.target)
    batch, line = config.batch or table.header.batch, latency_line(table.header)
    if batch != table.header.batch:
        if not isinstance(table, OpCostModel):
            raise ValueError(
                f"{config.target} was measured at batch {table.header.batch}; got --batch {batch}"
            )
        table = replace(table, header=replace(table.header, batch=batch))
        line = f"{latency_line(table.header)}; batch {batch} is an extrapolation"
    source = LatencySource(table.header.source, line, batch)
    return source, [network_latency(table, network) for network in networks]
