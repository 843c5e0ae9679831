"""The comparison of the paper's networks on a target, and its record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from search.comparison.order import speed_orders
from search.comparison.rows import PaperRow, paper_rows, select_networks_to_compare
from search.comparison.source import LatencySource, open_source
from search.result.write import provenance


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
    source = open_source(config.target, config.batch)
    return Comparison(config, source, paper_rows(networks, source, config.target, only))
