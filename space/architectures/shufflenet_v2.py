"""The search space: ShuffleNet v2 with free split ratio, width, depth, kernel, stem and head.

Each stage has a width, a depth, a split ratio and a kernel; stem and head have a width. The four
networks of the paper are points of the space. Five more parameters break a guideline each; they
are closed until `relaxed` opens them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from space.architectures.search_space import Architecture, Choice, Parameter, SearchSpace
from space.common.text import shorten
from space.graph.op import Count
from space.network.block import BlockBatch
from space.network.network import Network, NetworkBuilder
from space.units.basic import even_share

STAGES = (2, 3, 4)
# Multiples of 4 around the widths of Table 5 (48-244, 96-488, 192-976), half and a bit more.
WIDTHS = {2: range(24, 257, 4), 3: range(48, 513, 4), 4: range(96, 1025, 4)}
DEPTHS = range(2, 13)
SPLITS = tuple(Fraction(eighths, 8) for eighths in (2, 3, 4, 5, 6))
KERNELS = (3, 5, 7)
STEMS = range(8, 65, 4)
HEADS = range(256, 2049, 128)
_STAGED = ("width", "depth", "split", "kernel")

# What breaks a guideline: (parameter, choices, first the one within the guideline, guideline).
_RELAXED: tuple[tuple[str, tuple[Choice, ...], str], ...] = (
    ("bottleneck", (Fraction(1), Fraction(1, 4), Fraction(1, 2), Fraction(2), Fraction(4)), "g1"),
    ("groups", (1, 2, 4, 8), "g2"),
    ("fragments", ("1", "2-parallel", "4-parallel", "2-serial", "4-serial"), "g3"),
    ("residual", (0, 1), "g4"),
    ("extra_relu", (0, 1), "g4"),
)


def _make_parameters() -> tuple[Parameter, ...]:
    searched: list[tuple[str, Sequence[Any]]] = [("stem", STEMS)]
    for stage in STAGES:
        staged = zip(_STAGED, (WIDTHS[stage], DEPTHS, SPLITS, KERNELS), strict=True)
        searched += [(f"{name}{stage}", choices) for name, choices in staged]
    searched.append(("head", HEADS))
    active = [(name, tuple(choices)) for name, choices in searched]
    return (
        *(Parameter(name, choices, len(choices)) for name, choices in active),
        *(Parameter(name, choices, 1, breaks) for name, choices, breaks in _RELAXED),
    )


@dataclass(frozen=True, slots=True)
class Segment:
    """Blocks that depend on a few parameters, one for each combination of their choices.

    `batch` is in C order over `columns`, those of these parameters in the genes. If `depth` is a
    column, the network has the block depth - 1 times, with the value of that parameter as depth.
    """

    columns: tuple[int, ...]
    batch: BlockBatch
    depth: int | None = None


@dataclass(frozen=True)
class ShuffleNetV2Space(SearchSpace):
    """The search space at one input size, for images of `channels` channels and `classes` classes.

    `lower` makes the network of an architecture; `segments` has the blocks of all architectures.
    Genes are int16 arrays [n, parameters]: indices of the choices of each parameter.

    Example:
        >>> import numpy as np
        >>> from space import ShuffleNetV2Space
        >>> space = ShuffleNetV2Space(height=32, width=32, classes=10)
        >>> genes = space.sample(1000, np.random.default_rng(0))
        >>> network = space.lower(space.architecture(genes[0]))
        >>> genes.shape, network.input_shape
        ((1000, 19), (3, 32, 32))
    """

    name: str = "shufflenet_v2"
    parameters: tuple[Parameter, ...] = _make_parameters()
    height: int = 224
    width: int = 224
    classes: int = 1000
    channels: int = 3

    def __post_init__(self) -> None:
        for name in ("height", "width", "channels", "classes"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"`{name}` must be at least 1; got {value}")

    @property
    def variant_columns(self) -> slice:
        """The columns of the guideline-breaking parameters."""
        return slice(len(self.parameters) - len(_RELAXED), len(self.parameters))

    def lower(self, arch: Architecture) -> Network:
        """The network of an architecture.

        Raises:
            ValueError: the architecture is of another space, or a gene is out of range.
        """
        self.check_architecture(arch)
        builder = NetworkBuilder(self.text(arch), self.height, self.width, self.channels)
        builder.add("stem", c_out=self._int(arch, "stem"))
        variant = arch.genes[self.variant_columns]
        for stage in STAGES:
            c_out, kernel = self._int(arch, f"width{stage}"), self._int(arch, f"kernel{stage}")
            eighths = int(8 * Fraction(self.value(arch, f"split{stage}")))
            for index in range(self._int(arch, f"depth{stage}")):
                split, stride = (eighths, 1) if index else (4, 2)
                fields = self._unit(c_out, split, kernel, stride, variant)
                builder.add("shufflenet_v2", **fields)
        builder.add("head", c_out=self._int(arch, "head"), classes=self.classes)
        return builder.network()

    def segments(self, variant: Sequence[int] = (0,) * len(_RELAXED)) -> tuple[Segment, ...]:
        """All blocks of the networks with these guideline-breaking genes."""
        height, width = self.height, self.width
        stem = self.position("stem")
        (stems,) = self._grid(stem)
        fields: dict[str, Any] = {"c_in": self.channels, "c_out": stems}
        segments = [Segment((stem,), BlockBatch("stem", height, width, fields))]
        _, height, width = segments[0].batch.block(0).out_shape
        before = stem
        for stage in STAGES:
            after, depth, split, kernel = (self.position(f"{name}{stage}") for name in _STAGED)
            c_in, c_out, size = self._grid(before, after, kernel)
            fields = {"c_in": c_in, **self._unit(c_out, 4, size, 2, variant)}
            batch = BlockBatch("shufflenet_v2", height, width, fields)
            segments.append(Segment((before, after, kernel), batch))
            _, height, width = batch.block(0).out_shape
            eighths, c_out, size = self._grid(split, after, kernel)
            fields = {"c_in": c_out, **self._unit(c_out, eighths, size, 1, variant)}
            batch = BlockBatch("shufflenet_v2", height, width, fields)
            segments.append(Segment((split, after, kernel), batch, depth))
            before = after
        c_in, c_out = self._grid(before, self.position("head"))
        fields = {"c_in": c_in, "c_out": c_out, "classes": self.classes}
        batch = BlockBatch("head", height, width, fields)
        segments.append(Segment((before, self.position("head")), batch))
        return tuple(segments)

    def _unit(
        self, c_out: Count, eighths: Count, kernel: Count, stride: int, variant: Sequence[int]
    ) -> dict[str, Any]:
        """The fields of a unit with a split of `eighths`, without `c_in`."""
        values = (choices[gene] for (_, choices, _), gene in zip(_RELAXED, variant, strict=True))
        bottleneck, groups, fragments, residual, extra_relu = values
        count, _, order = str(fragments).partition("-")
        branch, ratio = even_share(c_out, eighths, 8), Fraction(bottleneck)
        mid = 0 if ratio == 1 else even_share(branch, ratio.numerator, ratio.denominator)
        return {
            "c_out": c_out,
            "branch": branch,
            "kernel": kernel,
            "stride": stride,
            "mid": mid,
            "groups": groups,
            "fragments": int(count),
            "serial": int(order == "serial"),
            "residual": int(bool(residual) and stride == 1),
            "extra_relu": extra_relu,
        }

    def _int(self, arch: Architecture, name: str) -> int:
        return int(self.value(arch, name))

    def _grid(self, *columns: int) -> list[NDArray[np.int64]]:
        """Every combination of the choices of these columns, flat, in C order; splits in 1/8."""
        listed: list[Any] = [self.parameters[column].choices for column in columns]
        arrays = [
            np.array([int(8 * c) if isinstance(c, Fraction) else c for c in choices], np.int64)
            for choices in listed
        ]
        return [axis.ravel() for axis in np.meshgrid(*arrays, indexing="ij")]

    def text(self, arch: Architecture) -> str:
        """One line that `parse` reads; without defaults of the guideline-breaking parameters."""
        words = [self.name, f"stem={self.value(arch, 'stem')}"]
        for name in _STAGED:
            values = (str(self.value(arch, f"{name}{stage}")) for stage in STAGES)
            words.append(f"{name}={','.join(values)}")
        words.append(f"head={self.value(arch, 'head')}")
        for name, choices, _ in _RELAXED:
            if self.value(arch, name) != choices[0]:
                words.append(f"{name}={self.value(arch, name)}")
        return " ".join(words)

    def parse(self, text: str) -> Architecture:
        """The architecture that `text` wrote; ValueError names the wrong word."""
        name, *words = text.split() or [""]
        if name != self.name:
            raise ValueError(f"an architecture must begin with {self.name!r}; got {shorten(text)}")
        values: dict[str, str] = {}
        for word in words:
            key, equals, listed = word.partition("=")
            keys = [f"{key}{stage}" for stage in STAGES] if key in _STAGED else [key]
            parts = listed.split(",")
            if not equals or len(parts) != len(keys) or set(keys) & set(values):
                raise ValueError(
                    f"must be `name=value` or `name=v2,v3,v4`, once; got {shorten(word)}"
                )
            values |= dict(zip(keys, parts, strict=True))
        genes = []
        for parameter in self.parameters:
            if not parameter.breaks and parameter.name not in values:
                raise ValueError(f"`{parameter.name}` is missing in {shorten(text)}")
            genes.append(parameter.index(values.pop(parameter.name, str(parameter.choices[0]))))
        if values:
            names = shorten(", ".join(values)).strip("'")
            raise ValueError(f"unknown name {names} in {shorten(text)}")
        return Architecture(self.name, tuple(genes))

    def point(
        self,
        widths: Sequence[int],
        depths: Sequence[int] = (4, 8, 4),
        split: Fraction | str = "1/2",
        kernel: int = 3,
        stem: int = 24,
        head: int = 1024,
    ) -> Architecture:
        """The architecture with these values, with equal split and kernel in every stage."""
        stages = {"width": widths, "depth": depths, "split": [split] * 3, "kernel": [kernel] * 3}
        words = [f"{name}={','.join(map(str, values))}" for name, values in stages.items()]
        return self.parse(" ".join([self.name, f"stem={stem}", *words, f"head={head}"]))

    def variants(self) -> list[tuple[int, ...]]:
        """Every open combination of the guideline-breaking parameters."""
        sizes = self.active_sizes[self.variant_columns]
        return list(itertools.product(*(range(int(size)) for size in sizes)))
