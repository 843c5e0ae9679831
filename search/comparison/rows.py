"""The paper's networks with their latency on a target, and what the paper measured of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from latency.paper_model.paper_speeds import PAPER_SPEEDS
from latency.table.header import latency_line
from latency.table.load import shipped_name
from search.problem.budget import Budget
from search.result.rows import network_latency
from space.network.network import Network
from space.zoo.catalog import published_network, published_networks
from space.zoo.entry import Entry

# Backbones of the paper's Table 7 and their images per second there: GTX 1080 Ti, batch 4,
# 800x1200, the whole Light-Head R-CNN detector and not the backbone alone.
TABLE_7 = {
    "ShuffleNet v2": (188, 146, 109, 87),
    "ShuffleNet v2*": (183, 138, 105, 83),
    "Xception": (178, 131, 101, 83),
    "ShuffleNet v1": (152, 85, 76, 60),
    "MobileNet v2": (146, 111, 94, 72),
}
# Rows of Table 8 that no table was fitted for or judged on: batches of 8 per second on the GTX
# 1080 Ti, images per second on the Snapdragon 810.
TABLE_8_OTHERS = {
    "ShuffleNet v2 2.0x with SE": (161, 5.6),
    "Xception 0.5x": (384, 52.9),
    "Xception 1.0x": (278, 19.5),
    "Xception 1.5x": (219, 10.5),
    "Xception 2.0x": (174, 6.7),
    "DenseNet 0.5x": (366, 39.7),
    "DenseNet 1.0x": (279, 15.8),
    "DenseNet 1.5x": (274, 9.7),
    "DenseNet 2.0x": (197, 6.1),
}
PAPER_SPEED = {
    **{name: (float(gpu), float(arm)) for name, (_, gpu, arm) in PAPER_SPEEDS.items()},
    **TABLE_8_OTHERS,
}
# Complexity groups of Tables 7 and 8, in MFLOPs, and their networks by family. The paper does not
# say which MobileNet v2 stand in Table 7; 0.4, 0.75, 1.0 and 1.4 have the FLOPs at 224x224 nearest
# to the groups (as for appendix Table 1a: docs/published.md).
GROUPS = (40, 140, 300, 500)
MEMBERS = {
    "ShuffleNet v2": [f"ShuffleNet v2 {size}x" for size in ("0.5", "1.0", "1.5", "2.0")],
    "ShuffleNet v2*": [f"ShuffleNet v2* {size}x" for size in ("0.5", "1.0", "1.5", "2.0")],
    "Xception": [f"Xception {size}x" for size in ("0.5", "1.0", "1.5", "2.0")],
    "ShuffleNet v1": [f"ShuffleNet v1 {size}x g=3" for size in ("0.5", "1.0", "1.5", "2.0")],
    "MobileNet v2": [
        "MobileNet v2 0.4 160x160",
        "MobileNet v2 0.75 192x192",
        "MobileNet v2 1.0",
        "MobileNet v2 1.4",
    ],
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where latencies come from. `seconds` gives one per network, None where it cannot tell."""

    kind: str
    line: str
    batch: int
    seconds: Callable[[Sequence[Network]], list[float | None]]


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One network. `paper_s` is the paper's own measurement on this target, if it is one of its
    devices; `relative_speed` is against ShuffleNet v2 of the same group, with `paper_relative`
    the ratio in Table 7."""

    name: str
    flops: int
    published_error: float | None
    latency_s: float | None
    paper_s: float | None = None
    group: int | None = None
    relative_speed: float | None = None
    paper_relative: float | None = None

    @property
    def error(self) -> float | None:
        """Relative error of the latency against the paper's measurement."""
        known = self.latency_s is not None and self.paper_s is not None
        return self.latency_s / self.paper_s - 1 if known else None  # type: ignore[operator]

    def record(self, source: str) -> dict[str, Any]:
        """The row for JSON."""
        return {**dataclasses.asdict(self), "latency_source": source, "error": self.error}


def networks(
    names: Sequence[str] | None,
    budget: str | None,
    size: tuple[int, int] | None,
    features_only: bool,
) -> list[tuple[Entry, Network]]:
    """The networks to compare, at `size` (height, width) or their published input.

    Raises:
        ValueError: unknown name, no FLOPs budget, nothing left, or an input that is too small.
    """
    if features_only:
        found = [published_network(name) for members in MEMBERS.values() for name in members]
    else:
        found = [entry for entry in published_networks().values() if entry.published_top1_error]
    if names:
        found = [published_network(name) for name in names]
    if budget is not None:
        limit = Budget.parse(budget)
        if limit.cost != "flops":
            raise ValueError(
                f"--budget of a comparison must be FLOPs such as 146M; got {budget!r}"
            )
        low, high = limit.limit / 1.5, limit.limit * 1.5
        found = [entry for entry in found if low <= entry.network().flops <= high]
    if not found:
        raise ValueError(f"no known network has two thirds to three halves of {budget}")
    chosen = []
    for entry in found:
        network = entry.network(*size) if size else entry.network()
        if features_only:
            network = Network(network.name, network.blocks[:-1])
        chosen.append((entry, network))
    return chosen


def open_source(target: str, batch: int | None) -> Source:
    """The latency of networks on a target: measured here for `cpu`, else from its table.

    Raises:
        ValueError: unknown target, or a batch its table does not know.
    """
    if target == "cpu":
        return _this_machine(batch or 1)
    from latency.table.load import load_table
    from latency.table.op_model import OpCostModel

    table = load_table(target)
    line, batch = latency_line(table.header), batch or table.header.batch
    if batch != table.header.batch:
        if not isinstance(table, OpCostModel):
            raise ValueError(
                f"{target} was measured at batch {table.header.batch}; got --batch {batch}"
            )
        table = dataclasses.replace(table, header=dataclasses.replace(table.header, batch=batch))
        line = f"{latency_line(table.header)}; batch {batch} is an extrapolation"

    def seconds(chosen: Sequence[Network]) -> list[float | None]:
        return [network_latency(table, network) for network in chosen]

    return Source(table.header.source, line, batch, seconds)


def _this_machine(batch: int) -> Source:
    """Whole networks measured on this machine."""
    from latency.engines.registry import get_engine
    from latency.measure.network import ROUNDS, measure_networks
    from latency.ondevice.host import chip

    engine = get_engine("onnxruntime")

    def seconds(chosen: Sequence[Network]) -> list[float | None]:
        return measure_networks(chosen, engine=engine.name, batch=batch).tolist()

    line = (
        f"latency: measured: {chip()}, {engine.name} {engine.version}, 1 thread, batch {batch}; "
        f"whole networks, median of {ROUNDS}"
    )
    return Source("measured", line, batch, seconds)


def compare_networks(
    chosen: Sequence[tuple[Entry, Network]], source: Source, target: str, features_only: bool
) -> list[PaperRow]:
    """The rows, fastest first; by complexity group with `features_only`."""
    latencies = source.seconds([network for _, network in chosen])
    rows = [
        PaperRow(
            name=entry.name,
            flops=network.flops,
            published_error=entry.published_top1_error,
            latency_s=latency,
            paper_s=None if features_only else _paper_s(entry, network, target, source.batch),
        )
        for (entry, network), latency in zip(chosen, latencies, strict=True)
    ]
    if features_only:
        return _by_group(rows)
    return sorted(rows, key=lambda row: (row.latency_s is None, row.latency_s))


def _paper_s(entry: Entry, network: Network, target: str, batch: int) -> float | None:
    """Table 8's measurement: ARM at batch 1, GPU at batch 8, at the published input."""
    published = network.input_shape[1:] == (entry.height, entry.width)
    if entry.name not in PAPER_SPEED or not published:
        return None
    gpu, arm = PAPER_SPEED[entry.name]
    speed = {("arm", 1): arm, ("gpu", 8): gpu}.get((shipped_name(target) or "", batch))
    return None if speed is None else 1 / speed


def _by_group(rows: Sequence[PaperRow]) -> list[PaperRow]:
    """Rows with their group and speed relative to ShuffleNet v2 of the group."""
    by_name = {row.name: row for row in rows}
    found = []
    for index, group in enumerate(GROUPS):
        base = by_name.get(MEMBERS["ShuffleNet v2"][index])
        for family, members in MEMBERS.items():
            row = by_name.get(members[index])
            if row is None:
                continue
            known = base is not None and base.latency_s is not None and row.latency_s is not None
            relative = base.latency_s / row.latency_s if known else None  # type: ignore[union-attr,operator]
            printed = TABLE_7[family][index] / TABLE_7["ShuffleNet v2"][index]
            found.append(
                dataclasses.replace(
                    row, group=group, relative_speed=relative, paper_relative=printed
                )
            )
    placed = {row.name for row in found}
    return found + [row for row in rows if row.name not in placed]
