"""Parameters with choices, and architectures: one choice of each parameter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from space.common.text import shorten

Choice: TypeAlias = int | Fraction | str
Genes: TypeAlias = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A named parameter. A gene is an index of `choices`; the first `active_choices` are searched.

    `breaks`: the guideline ("g1" ... "g4") that the other choices break, or "".
    """

    name: str
    choices: tuple[Choice, ...]
    active_choices: int
    breaks: str = ""

    def index(self, text: str) -> int:
        """The gene of the choice printed as `text`; ValueError lists the choices."""
        printed = [str(choice) for choice in self.choices]
        if text not in printed:
            near = ", ".join(printed if len(printed) < 12 else [*printed[:3], "...", printed[-1]])
            raise ValueError(f"`{self.name}` must be one of {near}; got {shorten(text)}")
        return printed.index(text)


@dataclass(frozen=True, slots=True)
class Architecture:
    """A point of a search space: the name of the space, and one gene for each parameter.

    `ShuffleNetV2Space.text` writes it as one line, and `parse` reads that line.

    Example:
        >>> from space import Architecture, ShuffleNetV2Space
        >>> space = ShuffleNetV2Space()
        >>> arch = space.point(widths=(48, 96, 192), stem=24)
        >>> arch == Architecture("shufflenet_v2", arch.genes) == space.parse(space.text(arch))
        True
    """

    space: str
    genes: tuple[int, ...]


@dataclass(frozen=True)
class SearchSpace:
    """The parameters of a space: sample, check and relax genes (genotypes)."""

    name: str
    parameters: tuple[Parameter, ...]

    @property
    def active_sizes(self) -> NDArray[np.int64]:
        """The number of active choices of each parameter, int64 [parameters]."""
        return np.array([each.active_choices for each in self.parameters])

    @property
    def size(self) -> int:
        """The number of architectures of the active choices."""
        return int(np.prod(self.active_sizes.astype(object)))

    def position(self, name: str) -> int:
        """The column of a parameter; ValueError lists the known ones."""
        names = [each.name for each in self.parameters]
        if name not in names:
            raise ValueError(f"parameter must be one of {', '.join(names)}; got {name!r}")
        return names.index(name)

    def relaxed(self, guidelines: Iterable[str]) -> Self:
        """The space where all choices of the parameters that break these guidelines ("g1" ...
        "g4") are active."""
        names = set(guidelines)
        known = {each.breaks for each in self.parameters} - {""}
        if names - known:
            raise ValueError(
                f"a guideline to relax must be one of {', '.join(sorted(known))}; "
                f"got {', '.join(sorted(names - known))}"
            )
        parameters = (
            replace(each, active_choices=len(each.choices)) if each.breaks in names else each
            for each in self.parameters
        )
        return replace(self, parameters=tuple(parameters))

    def sample(self, n: int, rng: np.random.Generator) -> Genes:
        """n architectures, uniform over the active choices, int16 [n, parameters]."""
        size = (n, len(self.parameters))
        return rng.integers(0, self.active_sizes, size, np.int64).astype(np.int16)

    def check(self, genes: NDArray[np.integer]) -> None:
        """ValueError if a gene is not one of its choices; closed choices are allowed."""
        genes = np.asarray(genes)
        if genes.ndim != 2 or genes.shape[1] != len(self.parameters):
            raise ValueError(f"genes must be [n, {len(self.parameters)}]; got shape {genes.shape}")
        sizes = np.array([len(each.choices) for each in self.parameters])
        rows, columns = np.nonzero((genes < 0) | (genes >= sizes))
        if len(rows):
            parameter = self.parameters[columns[0]]
            raise ValueError(
                f"gene of `{parameter.name}` must be in 0..{len(parameter.choices) - 1}; "
                f"got {genes[rows[0], columns[0]]} in row {rows[0]}"
            )

    def architecture(self, row: NDArray[np.integer] | Iterable[int]) -> Architecture:
        """The architecture of one row of genes, int [parameters]."""
        found = Architecture(self.name, tuple(int(gene) for gene in row))
        self.check_architecture(found)
        return found

    def check_architecture(self, arch: Architecture) -> None:
        """ValueError if an architecture is of another space, or a gene is out of range."""
        if arch.space != self.name:
            raise ValueError(f"architecture must be of space {self.name}; got {arch.space}")
        try:
            genes = np.array([arch.genes], dtype=np.int64)
        except OverflowError:
            raise ValueError(f"genes must be small integers; got {shorten(arch.genes)}") from None
        self.check(genes)

    def value(self, arch: Architecture, name: str) -> Choice:
        """The choice of an architecture for a parameter."""
        position = self.position(name)
        return self.parameters[position].choices[arch.genes[position]]
