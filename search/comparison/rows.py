"""The paper's networks with their latency on a target, and with the paper's own measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from latency.paper_model.paper_speeds import PAPER_SPEEDS, TABLE_7, TABLE_8_OTHERS
from latency.table.load import shipped_name
from search.problem.budget import Budget
from search.problem.shape import IMAGENET
from space.network.network import Network
from space.network.resize import on_input
from space.zoo.catalog import published_network, published_networks
from space.zoo.entry import PublishedNetwork

# Table 8 by network: batches of 8 per second on the GPU, images per second on the phone.
TABLE_8 = {name: (float(gpu), float(arm)) for name, (_, gpu, arm) in PAPER_SPEEDS.items()}
TABLE_8.update(TABLE_8_OTHERS)
# Complexity groups of Tables 7 and 8, in MFLOPs, and their networks by family. The paper does not
# name the MobileNet v2 of Table 7; 0.4, 0.75, 1.0 and 1.4 have the FLOPs at 224x224 nearest to the
# groups (as for appendix Table 1a: docs/reference/published-tables.md).
GROUPS = (40, 140, 300, 500)
SIZES = ("0.5", "1.0", "1.5", "2.0")
MEMBERS = {
    "ShuffleNet v2": [f"ShuffleNet v2 {size}x" for size in SIZES],
    "ShuffleNet v2*": [f"ShuffleNet v2* {size}x" for size in SIZES],
    "Xception": [f"Xception {size}x" for size in SIZES],
    "ShuffleNet v1": [f"ShuffleNet v1 {size}x g=3" for size in SIZES],
    "MobileNet v2": [
        "MobileNet v2 0.4 160x160",
        "MobileNet v2 0.75 192x192",
        "MobileNet v2 1.0",
        "MobileNet v2 1.4",
    ],
}


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One network.

    Args:
        published_error: top-1 error on ImageNet in per cent.
        paper_s: the paper's measurement, if the target is one of its devices.
        group: MFLOPs of the network's complexity group.
        relative_speed: speed / speed of ShuffleNet v2 of the same group; `paper_relative` is the
            same ratio in Table 7.
    """

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
        if self.latency_s is None or self.paper_s is None:
            return None
        return self.latency_s / self.paper_s - 1

    def record(self, source: str) -> dict[str, Any]:
        """The row for JSON."""
        return {**asdict(self), "latency_source": source, "error": self.error}


@dataclass(frozen=True, slots=True)
class NetworkChanges:
    """What networks take and answer in place of what was published: `size` (height, width) and
    `channels` of the images, and `classes`; None: as published."""

    size: tuple[int, int] | None = None
    channels: int | None = None
    classes: int | None = None

    @property
    def text(self) -> str:
        """What differs from ImageNet, for people; "" if nothing does."""
        words = ["x".join(map(str, self.size))] if self.size else []
        if self.channels not in (None, IMAGENET.channels):
            words.append(f"{self.channels} channel{'s' * (self.channels != 1)}")
        if self.classes not in (None, IMAGENET.classes):
            words.append(f"{self.classes} class{'es' * (self.classes != 1)}")
        return ", ".join(words)

    def network(self, entry: PublishedNetwork) -> Network:
        """A known network with these changes.

        Raises:
            ValueError: the input is smaller than its stride, or it is a part of a network.
        """
        network = entry.network(*self.size) if self.size else entry.network()
        channels, classes = self.channels or IMAGENET.channels, self.classes or IMAGENET.classes
        if (channels, classes) == (IMAGENET.channels, IMAGENET.classes):
            return network
        _, height, width = network.input_shape
        return on_input(network, height, width, classes=classes, channels=channels, drop=0)


def select_networks_to_compare(
    names: Sequence[str], budget: str | None, changes: NetworkChanges, features_only: bool
) -> list[tuple[PublishedNetwork, Network]]:
    """The networks to compare, as published but for `changes`.

    Those named, else all with a published error, or those of Table 7 with `features_only`; of
    these the ones with 2/3 to 3/2 of the budget. `features_only` removes their heads.

    Raises:
        ValueError: an unknown name, a budget that is not FLOPs, no network is left, or the input
            is too small.
    """
    if names:
        found = [published_network(name) for name in names]
    elif features_only:
        found = [published_network(name) for members in MEMBERS.values() for name in members]
    else:
        found = [entry for entry in published_networks().values() if entry.published_top1_error]
    if budget is not None:
        limit = Budget.parse(budget)
        if limit.cost != "flops":
            raise ValueError(f"--budget of a comparison must be FLOPs such as 146M; got {limit}")
        low, high = limit.limit / 1.5, limit.limit * 1.5
        found = [entry for entry in found if low <= entry.network().flops <= high]
    if not found:
        raise ValueError(f"no known network has two thirds to three halves of {budget}")
    networks = [changes.network(entry) for entry in found]
    if features_only:
        networks = [Network(network.name, network.blocks[:-1]) for network in networks]
    return list(zip(found, networks, strict=True))


def paper_rows(
    chosen: Sequence[tuple[PublishedNetwork, Network]],
    seconds: Sequence[float | None],
    target: str,
    batch: int,
    features_only: bool,
) -> list[PaperRow]:
    """The rows, fastest first; by complexity group with `features_only`. `seconds`: of each
    network on the target."""
    rows = [
        PaperRow(
            name=entry.name,
            flops=network.flops,
            published_error=entry.published_top1_error,
            latency_s=latency_s,
            paper_s=None if features_only else _paper_s(entry, network, target, batch),
        )
        for (entry, network), latency_s in zip(chosen, seconds, strict=True)
    ]
    if features_only:
        return _by_group(rows)
    return sorted(rows, key=lambda row: (row.latency_s is None, row.latency_s))


def _paper_s(entry: PublishedNetwork, network: Network, target: str, batch: int) -> float | None:
    """Table 8's measurement: ARM at batch 1, GPU at batch 8, at the published input."""
    published = network.input_shape == (IMAGENET.channels, entry.height, entry.width)
    published = published and network.blocks[-1].out_shape[0] == IMAGENET.classes
    if entry.name not in TABLE_8 or not published:
        return None
    gpu, arm = TABLE_8[entry.name]
    speed = {("arm", 1): arm, ("gpu", 8): gpu}.get((shipped_name(target) or "", batch))
    return None if speed is None else 1 / speed


def _by_group(rows: Sequence[PaperRow]) -> list[PaperRow]:
    """Rows with their group and relative speeds; those of no group come last."""
    left = {row.name: row for row in rows}
    found = []
    for index, group in enumerate(GROUPS):
        base = left.get(MEMBERS["ShuffleNet v2"][index])
        for family, members in MEMBERS.items():
            row = left.pop(members[index], None)
            if row is None:
                continue
            relative = None
            if base is not None and base.latency_s is not None and row.latency_s is not None:
                relative = base.latency_s / row.latency_s
            printed = TABLE_7[family][index] / TABLE_7["ShuffleNet v2"][index]
            found.append(
                replace(row, group=group, relative_speed=relative, paper_relative=printed)
            )
    return [*found, *left.values()]
