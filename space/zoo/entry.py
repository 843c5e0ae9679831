"""The register of known networks: how each is built, and what was published of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from space.cost.guidelines import Guidelines
from space.network.network import Network
from space.zoo.released import ReleasedWeights, released_weights

Make: TypeAlias = Callable[[int, int], Network]

Printed: TypeAlias = tuple[float | None, float | None, float | None]
"""FLOPs and parameters in millions, top-1 error in percent on ImageNet."""

REGISTERED: dict[str, PublishedNetwork] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedNetwork:
    """A known network. `make` takes the height and width of the input; `height` and `width` are
    those of the published numbers, and the network divides them by `stride`.

    `published_flops` are multiply-adds as printed, `published_top1_error` is in percent on
    ImageNet; None where `source` has none. `note`: what the source leaves open, what was chosen,
    and why the counts differ. `weights`: released ones, the first stands for the network.
    `of_paper`: known from the ShuffleNet v2 paper or for its guidelines; the others are known from
    their weights.
    """

    name: str
    make: Make
    published_flops: int | None
    published_params: int | None
    published_top1_error: float | None
    source: str
    note: str
    height: int = 224
    width: int = 224
    stride: int = 32
    weights: tuple[ReleasedWeights, ...] = ()
    of_paper: bool = True

    @property
    def top1(self) -> float | None:
        """Top-1 on ImageNet in percent: of the weights that stand for the network, else as
        published; None: not known."""
        if self.weights:
            return self.weights[0].top1
        return None if self.published_top1_error is None else 100 - self.published_top1_error

    def network(self, height: int | None = None, width: int | None = None) -> Network:
        """The network at an input size; None: the published one.

        Raises:
            ValueError: the input is smaller than the network's stride.
        """
        height = self.height if height is None else height
        width = self.width if width is None else width
        if min(height, width) < self.stride:
            raise ValueError(
                f"{self.name} divides its input by {self.stride}: the smallest is "
                f"{self.stride}x{self.stride}; got {height}x{width}"
            )
        return self.make(height, width)

    def row(self) -> dict[str, Any]:
        """The counted and published numbers side by side, ready for JSON."""
        network = self.network()
        published = self.published_flops
        return {
            "name": self.name,
            "input": list(network.input_shape),
            "flops": network.flops,
            "published_flops": published,
            "difference": network.flops / published - 1 if published else None,
            "params": network.params,
            "published_params": self.published_params,
            "published_top1_error": self.published_top1_error,
            **asdict(Guidelines.of(network.blocks)),
            "source": self.source,
            "note": self.note,
            "weights": [asdict(each) for each in self.weights],
        }


def register(
    name: str,
    make: Make,
    printed: Printed,
    source: str,
    note: str = "",
    *,
    size: tuple[int, int] = (224, 224),
    stride: int = 32,
    of_paper: bool = True,
) -> None:
    """Register a known network, with its weights in `space.zoo.released`.

    Args:
        size: height and width of the input of the printed numbers.

    Raises:
        ValueError: the name is taken.
    """
    if name in REGISTERED:
        raise ValueError(f"network {name!r} is registered already")
    flops, params = (None if number is None else round(number * 1e6) for number in printed[:2])
    REGISTERED[name] = PublishedNetwork(
        name=name,
        make=make,
        published_flops=flops,
        published_params=params,
        published_top1_error=printed[2],
        source=source,
        note=note,
        height=size[0],
        width=size[1],
        stride=stride,
        weights=released_weights(name),
        of_paper=of_paper,
    )
