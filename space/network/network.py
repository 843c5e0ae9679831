"""A network: a chain of blocks, and the networks of the papers that ours are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from space.network.block import Block


@dataclass(frozen=True, slots=True)
class Network:
    """A chain of blocks on an input of 3 x `height` x `width`.

    Raises:
        ValueError: a block does not take what the one before it gives.
    """

    name: str
    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        for before, after in zip(self.blocks, self.blocks[1:], strict=False):
            given, wanted = before.out_shape, (after.c_in, after.height, after.width)
            if given != wanted:
                raise ValueError(f"{after} of {self.name} takes {wanted}; got {given}")

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


FEATURE_STRIDES = (4, 8, 16, 32)


class NetworkBuilder:
    """Appends blocks, each at the size and channels the one before it left."""

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


def feature_layers(network: Network) -> dict[str, str]:
    """Where detection code taps a network: submodule of
    `space.network.torch_module.build(network)` -> "4", "8", "16", "32", the strides of its feature
    maps.

    It is what torchvision's `create_feature_extractor` takes; for `IntermediateLayerGetter`,
    which knows direct children only, give it `module.blocks` and names without "blocks.". Each
    map is the output of the last block of its stride, before the head.

    Raises:
        ValueError: the network has not all four strides, or its input is smaller than 32x32.
    """
    _, height, width = network.input_shape
    total, found = 1, {}
    for index, block in enumerate(network.blocks):
        if block.ops[-1].kind == "linear":
            break
        strides = [1]
        for step in block.steps:
            strides.append(strides[step.inputs[0]] * int(step.op.stride))
        total *= strides[-1]
        found[total] = f"blocks.{index}"
    missing = [str(stride) for stride in FEATURE_STRIDES if stride not in found]
    if missing:
        raise ValueError(f"{network.name} has no feature maps of stride {', '.join(missing)}")
    if min(height, width) < max(FEATURE_STRIDES):
        raise ValueError(f"feature maps need an input of 32x32 at least; got {height}x{width}")
    return {found[stride]: str(stride) for stride in FEATURE_STRIDES}
