"""The comparison of the networks of the paper on a target, and whether the paper's order of speed
holds: ShuffleNet v2, v1, then MobileNet v2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from latency.engines.registry import get_engine
from latency.measure.network import ROUNDS, measure_networks
from latency.ondevice.host import chip
from latency.table.header import latency_line
from latency.table.load import load_table
from latency.table.op_model import OpCostModel
from search.comparison.rows import (
    GROUPS,
    MEMBERS,
    NetworkChanges,
    PaperRow,
    paper_rows,
    select_networks_to_compare,
)
from search.comparison.shelf import at_batch
from search.problem.latencies import check_seconds
from search.problem.shape import IMAGENET, table_shape
from search.result.rows import network_latency
from search.result.write import provenance
from space.network.network import Network

# The claim of the ShuffleNet v2 paper (section 4, Table 8) at each of its complexity levels.
ORDER = ("ShuffleNet v2", "ShuffleNet v1", "MobileNet v2")


def speed_orders(rows: Sequence[PaperRow]) -> list[dict[str, Any]]:
    """A record of each complexity level, in MFLOPs, at which all three networks have a latency.

    gaps: by what share each network of `ORDER` takes longer than the one before; below 0 where the
    order does not hold. paper_gaps: the same of the paper's measurements, if the target is one of
    its devices, else None.
    """
    by_name = {row.name: row for row in rows}
    found = []
    for index, group in enumerate(GROUPS):
        known = [by_name[n] for f in ORDER if (n := MEMBERS[f][index]) in by_name]
        gaps = _gaps([row.latency_s for row in known])
        if gaps is not None:
            paper = _gaps([row.paper_s for row in known])
            level = {"mflops": group, "order": ORDER, "holds": min(gaps) > 0}
            found.append({**level, "gaps": gaps, "paper_gaps": paper})
    return found


def _gaps(seconds: Sequence[float | None]) -> tuple[float, ...] | None:
    """None if one of the three is missing."""
    known = [value for value in seconds if value is not None]
    if len(known) < len(ORDER):
        return None
    return tuple(after / before - 1 for before, after in pairwise(known))


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rows of a comparison, fastest first or by group with `features_only`.

    Args:
        kind: "measured", "published" or "estimated" latencies.
        line: their source, for people.
        batch: the images that they are of.
    """

    target: str
    features_only: bool
    kind: str
    line: str
    batch: int
    rows: list[PaperRow]

    def record(self) -> dict[str, Any]:
        """The comparison for JSON."""
        return {
            "latency": self.line,
            "batch": self.batch,
            "features_only": self.features_only,
            **provenance(),
            "orders": speed_orders(self.rows),
            "rows": [row.record(self.kind) for row in self.rows],
        }


def compare_networks(
    target: str,
    *,
    names: Sequence[str] = (),
    budget: str | None = None,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    classes: int | None = None,
    batch: int | None = None,
    features_only: bool = False,
) -> Comparison:
    """Look up the latency of every network in the table of the target, or measure it for "cpu".

    Args:
        names, budget: as `select_networks_to_compare` takes them.
        size: height and width of the images, `channels` of them, and `classes`; None: those of a
            measured table, else each network's published ones.
        batch: None: the target's.
        features_only: compare the backbones without their heads, as Table 7 does.

    Raises:
        ValueError: an unknown network or target, a budget that is not FLOPs, no network is left,
            or an input or batch that does not fit.
    """
    table = None if target == "cpu" else load_table(target)
    if table is not None and table.header.layout == "blocks":
        shape = table_shape(table.header, size=size, channels=channels, classes=classes)
        channels, classes = shape.channels, shape.classes
        if shape.size != IMAGENET.size:
            size = shape.height, shape.width
    changed = NetworkChanges(size, channels, classes)
    chosen = select_networks_to_compare(names, budget, changed, features_only)
    networks = [network for _, network in chosen]
    if table is None:
        kind, line, seconds = _measured(networks, batch := batch or 1)
    else:
        table, note = at_batch(table, target, batch)
        batch, line = table.header.batch, latency_line(table.header)
        if changed.text and isinstance(table, OpCostModel):
            line += f"; that error is of networks of {IMAGENET}"
        line += note
        kind = table.header.source
        seconds = [network_latency(table, network) for network in networks]
        check_seconds((value for value in seconds if value is not None), table.header)
    if changed.text:
        line += f"; networks: {changed.text}"
    rows = paper_rows(chosen, seconds, target, batch, features_only)
    return Comparison(target, features_only, kind, line, batch, rows)


def _measured(networks: Sequence[Network], batch: int) -> tuple[str, str, list[float | None]]:
    """(kind, line, seconds of each network), measured on this machine."""
    engine = get_engine("onnxruntime")
    line = (
        f"latency: measured: {chip()}, {engine.name} {engine.version}, 1 thread, batch {batch}; "
        f"whole networks, median of {ROUNDS}"
    )
    times = measure_networks(networks, engine=engine.name, batch=batch)
    return "measured", line, times.tolist()
