"""A network: a chain of blocks."""

from __future__ import annotations

from dataclasses import dataclass

from space.network.block import Block


@dataclass(frozen=True, slots=True)
class Network:
    """A chain of blocks; the first takes the image.

    Raises:
        ValueError: a block's input shape is not the output shape of the block before it.

    Example:
        >>> from space import Network, ShuffleNetV2Space
        >>> space = ShuffleNetV2Space()
        >>> network = space.lower(space.point(widths=(116, 232, 464)))
        >>> network.flops, network.params, network.input_shape
        (144907992, 2278604, (3, 224, 224))
        >>> Network("stem and first unit", network.blocks[:2]).flops
        16801120
    """

    name: str
    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        for before, after in zip(self.blocks, self.blocks[1:], strict=False):
            shape, expected = before.out_shape, (after.c_in, after.height, after.width)
            if shape != expected:
                raise ValueError(f"{after} of {self.name} takes {expected}; got {shape}")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        first = self.blocks[0]
        return first.c_in, first.height, first.width

    @property
    def flops(self) -> int:
        """Multiply-adds of convolutions and linear layers, as the paper counts them."""
        return sum(block.flops for block in self.blocks)

    @property
    def params(self) -> int:
        return sum(block.params for block in self.blocks)


class NetworkBuilder:
    """Appends blocks; `shape` (channels, height, width) is the output of the last one."""

    def __init__(self, name: str, height: int, width: int, channels: int = 3) -> None:
        self.name = name
        self.blocks: list[Block] = []
        self.shape = (channels, height, width)

    def add(self, kind: str, **fields: int) -> None:
        channels, height, width = self.shape
        block = Block(kind, height, width, c_in=channels, **fields)
        self.blocks.append(block)
        self.shape = block.out_shape

    def network(self) -> Network:
        return Network(self.name, tuple(self.blocks))


def block_stride(block: Block) -> int:
    """The factor by which a block divides height and width."""
    strides = [1]
    for step in block.steps:
        strides.append(max(strides[value] for value in step.inputs) * int(step.op.stride))
    return strides[-1]


FEATURE_STRIDES = (4, 8, 16, 32)


def feature_layers(network: Network) -> dict[str, str]:
    """Feature maps for detection: submodule of `build_module(network)` -> stride of its output,
    "4", "8", "16" or "32".

    torchvision's `create_feature_extractor` takes this as `return_nodes`.
    `IntermediateLayerGetter` takes direct children only: give it `module.blocks`, and names
    without "blocks.". Each map is the output of the last block of its stride, before the head.

    Raises:
        ValueError: the network lacks one of the four strides, or its input is below 32x32.

    Example:
        >>> from space import feature_layers, published_network
        >>> feature_layers(published_network("ShuffleNet v2 0.5x").network())
        {'blocks.0': '4', 'blocks.4': '8', 'blocks.12': '16', 'blocks.16': '32'}
    """
    _, height, width = network.input_shape
    total, found = 1, {}
    for index, block in enumerate(network.blocks):
        if block.ops[-1].kind in ("linear", "flatten"):
            break
        total *= block_stride(block)
        found[total] = f"blocks.{index}"
    missing = [str(stride) for stride in FEATURE_STRIDES if stride not in found]
    if missing:
        raise ValueError(f"{network.name} has no feature maps of stride {', '.join(missing)}")
    if min(height, width) < max(FEATURE_STRIDES):
        raise ValueError(f"feature maps need an input of 32x32 at least; got {height}x{width}")
    return {found[stride]: str(stride) for stride in FEATURE_STRIDES}
