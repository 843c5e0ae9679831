"""A network for another input size and number of classes, with fewer halvings on small images.

The networks of the paper divide an input of 224x224 by 32. On 32x32 that would leave one pixel
after the last stage, so the first halvings are dropped: the second one first (the max-pool of the
stem, or the first unit of stride 2 where there is no pool), then the stride of the stem. Without
both, 32x32 is divided by 8 to 4x4.
"""

from __future__ import annotations

from math import prod

from space.graph.builder import unit_defaults
from space.network.network import Network, NetworkBuilder, block_stride

SMALL = 64  # up to this side both halvings are dropped by default
DROPPABLE = 2
_STEMS = ("stem", "mobile_stem")
# At stride 1 their weights have equal shapes.
_STRIDED = ("conv", "separable", "inverted_residual", "repvgg_deployed", "mbconv", "mb_separable",
            "uib", "lcnet", "mobileone")  # fmt: skip


def on_input(
    network: Network,
    height: int,
    width: int,
    *,
    classes: int,
    drop: int | None = None,
    channels: int = 3,
) -> Network:
    """The network with another input size and number of classes.

    Args:
        drop: how many of the first two halvings are dropped; None: both up to 64x64, none above.
        channels: of the images.

    Raises:
        ValueError: `drop` is not 0, 1 or 2, the network's stem has no such halvings, or the input
            is smaller than the total stride.
    """
    if drop is None:
        drop = DROPPABLE if max(height, width) <= SMALL else 0
    if not 0 <= drop <= DROPPABLE:
        raise ValueError(f"halvings to drop must be 0, 1 or 2; got {drop}")
    if classes < 1:
        raise ValueError(f"`classes` must be at least 1; got {classes}")
    if network.input_shape[0] not in (3, channels):
        raise ValueError(
            f"images have {channels} channels; {network.name} takes {network.input_shape[0]}: it "
            "is a part of a network"
        )
    changed = _halvings(network)[DROPPABLE - drop :] if drop else []
    builder = NetworkBuilder(network.name, height, width, channels)
    for index, block in enumerate(network.blocks):
        fields = {name: value for name, value in block.fields if name != "c_in"}
        if "classes" in unit_defaults(block.kind):
            fields["classes"] = classes
        fields |= {name: value for number, name, value in changed if number == index}
        builder.add(block.kind, **fields)
    adapted = builder.network()
    total = total_stride(adapted)
    if min(height, width) < total:
        raise ValueError(
            f"{network.name} divides its input by {total}: it must be at least {total}x{total}; "
            f"got {height}x{width}"
        )
    return adapted


def total_stride(network: Network) -> int:
    """The factor by which a network divides height and width before the classifier."""
    return prod(block_stride(block) for block in network.blocks)


def _halvings(network: Network) -> list[tuple[int, str, int]]:
    """The first two halvings in order: (block, field, the value without the halving)."""
    found: list[tuple[int, str, int]] = []
    for index, block in enumerate(network.blocks):
        if block_stride(block) == 1:
            continue
        if block.kind not in (*_STEMS, *_STRIDED):
            raise ValueError(
                f"the first halvings of {network.name} cannot be dropped: {block.kind} has other "
                f"weights at stride 1. Choose an input above {SMALL}x{SMALL}"
            )
        found.append((index, "stride", 1))
        if block.kind == "stem" and block["pool"]:
            found.append((index, "pool", 0))
        if len(found) >= DROPPABLE:
            return found[:DROPPABLE]
    raise ValueError(f"{network.name} has no {DROPPABLE} halvings to drop; give 0")
