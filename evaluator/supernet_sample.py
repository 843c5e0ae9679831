"""Which networks a step of the supernet trains: the sandwich, or one; fair in FLOPs.

Every draw is a function of seed and step alone, so a resumed training draws what it would have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from space.costs import CostModel
from space.shufflenet_v2 import STAGES, ShuffleNetV2Space
from space.slots import Genes

STAGED = ("width", "depth", "split", "kernel")
BINS = 10
DRAWN, MOST_DRAWN, ENOUGH = 50_000, 5_000_000, 2_000
SAMPLINGS = ("sandwich", "single")


def parse_limits(space: ShuffleNetV2Space, words: str) -> dict[str, tuple[int, ...]]:
    """`width2=24-64 kernel=3,5 ...` as slot -> the genes it may take. A staged name without its
    number is for all stages; a range takes the choices within it.

    Raises:
        ValueError: an unknown name, a malformed range, or one without a choice in it.
    """
    found: dict[str, tuple[int, ...]] = {}
    for word in words.split():
        name, equals, text = word.partition("=")
        names = [f"{name}{stage}" for stage in STAGES] if name in STAGED else [name]
        if not equals or not text:
            raise ValueError(f"a limit must be like width2=24-64 or kernel=3,5; got {word!r}")
        for each in names:
            slot = space.slots[space.position(each)]
            printed = [str(choice) for choice in slot.choices[: slot.open_choices]]
            chosen: set[int] = set()
            for piece in text.split(","):
                low, dash, high = piece.partition("-")
                if dash and low.isdecimal() and high.isdecimal():
                    values = {i for i, p in enumerate(printed) if int(low) <= float_of(p)}
                    chosen |= {i for i in values if float_of(printed[i]) <= int(high)}
                elif piece in printed:
                    chosen.add(printed.index(piece))
                else:
                    slot.index(piece)  # its error lists the choices
                    raise ValueError(f"`{each}`: the choice {piece} is closed in this space")
            if not chosen:
                raise ValueError(f"`{each}` has no choice in {text}; it has {', '.join(printed)}")
            found[each] = tuple(sorted(chosen))
    return found


def allowed(
    space: ShuffleNetV2Space, limits: Mapping[str, Sequence[int]]
) -> dict[str, tuple[int, ...]]:
    """slot -> the genes it may take, in order: those of `limits`, or else all open ones."""
    return {s.name: tuple(limits.get(s.name, range(s.open_choices))) for s in space.slots}


def parse_flops(text: str) -> tuple[float, float]:
    """`30M-160M` as multiply-adds, (least, most); one number is the most.

    Raises:
        ValueError: it is malformed or upside down.
    """
    units = {"k": 1e3, "M": 1e6, "G": 1e9}
    try:
        values = [float(p[:-1]) * units[p[-1]] for p in text.split("-")]
    except (ValueError, KeyError, IndexError):
        values = []
    if len(values) == 1:
        values = [0.0, *values]
    if len(values) != 2 or not 0 <= values[0] < values[1]:
        raise ValueError(f"--budget must be like 30M-160M or 160M; got {text!r}")
    return values[0], values[1]


def float_of(printed: str) -> float:
    """The value of a printed choice: 12, 1/2."""
    top, _, bottom = printed.partition("/")
    return float(top) / float(bottom or 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampler:
    """Draws architectures.

    `limits`: slot -> allowed genes; all open ones otherwise. `flops`: (least, most) at the space's
    own input; None for all. `sampling`: "sandwich" (largest, smallest, `random` more: Yu & Huang,
    Universally Slimmable Networks, ICCV 2019, "The Sandwich Rule") or "single" (one path a step:
    Guo et al., Single Path One-Shot, ECCV 2020, "Uniform Sampling"). `fair`: a FLOPs bin is drawn
    first, then a network in it (AttentiveNAS draws a target of FLOPs first too: Wang et al., CVPR
    2021), since a uniform draw hardly ever gives small or large ones. Over the first `warm` of the
    training the largest is trained alone; until `widened` the draw opens from the top of the FLOPs
    range down.

    Raises:
        ValueError: a setting is out of range, or no network is within the FLOPs.
    """

    space: ShuffleNetV2Space
    limits: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    flops: tuple[float, float] | None = None
    sampling: str = "sandwich"
    random: int = 2
    fair: bool = True
    warm: float = 0.1
    widened: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sampling not in SAMPLINGS:
            raise ValueError(f"sampling must be {' or '.join(SAMPLINGS)}; got {self.sampling!r}")
        if self.random < 0:
            raise ValueError(f"random networks a step must be at least 0; got {self.random}")
        if not 0 <= self.warm <= self.widened <= 1:
            raise ValueError(
                f"must be 0 <= warm <= widened <= 1; got warm {self.warm}, widened {self.widened}"
            )
        object.__setattr__(self, "_pool", self._drawn())

    def allowed(self) -> list[NDArray[np.int16]]:
        """The genes each slot may take, in order."""
        return [np.array(genes, np.int16) for genes in allowed(self.space, self.limits).values()]

    def corner(self, end: int) -> Genes:
        """int16 [slots]: the first (0) or last (-1) allowed choice in every slot."""
        return np.array([genes[end] for genes in self.allowed()], dtype=np.int16)

    def _drawn(self) -> tuple[Genes, NDArray[np.float64], list[NDArray[np.intp]]]:
        rng, model = np.random.default_rng([self.seed, 1]), CostModel(self.space)
        kept: list[Genes] = []
        costs: list[NDArray[np.float64]] = []
        drawn = 0
        allowed = self.allowed()
        low, high = self.flops or (0.0, np.inf)
        while drawn < MOST_DRAWN and sum(len(part) for part in kept) < ENOUGH:
            columns = [genes[rng.integers(0, len(genes), DRAWN)] for genes in allowed]
            genes = np.column_stack(columns).astype(np.int16)
            flops = model.costs(genes).flops
            inside = (low <= flops) & (flops <= high)
            kept.append(genes[inside])
            costs.append(flops[inside])
            drawn += DRAWN
        genes, flops = np.concatenate(kept), np.concatenate(costs)
        if not len(genes):
            raise ValueError(
                f"no network of {drawn} drawn is within the limits and {low / 1e6:g}M to "
                f"{high / 1e6:g}M FLOPs: widen --flops or --limits"
            )
        edges = np.linspace(flops.min(), flops.max(), BINS + 1)[1:-1]
        place = np.digitize(flops, edges)
        bins = [np.flatnonzero(place == i) for i in range(BINS)]
        return genes, flops, [members for members in bins if len(members)]

    def ends(self, rng: np.random.Generator) -> tuple[Genes, Genes]:
        """(largest, smallest): the corners, or with a FLOPs range a network of its last and its
        first bin, since the corners are outside of it."""
        if self.flops is None:
            return self.corner(-1), self.corner(0)
        genes, _, bins = self._pool  # type: ignore[attr-defined]
        return genes[rng.choice(bins[-1])], genes[rng.choice(bins[0])]

    def step(self, step: int, total: int) -> Genes:
        """The networks that step `step` of `total` trains, int16 [n, slots], the largest first."""
        rng = np.random.default_rng([self.seed, 2, step])
        largest, smallest = self.ends(rng)
        done = step / total
        if done < self.warm:
            return largest[None]
        opened = 1.0
        if self.widened > self.warm:
            opened = min(1.0, (done - self.warm) / (self.widened - self.warm))
        if self.sampling == "single":
            return self.draw(1, rng, opened)
        more = self.draw(self.random, rng, opened)
        # Before all is open, the smallest of what is.
        small = smallest if opened == 1 else self.draw(1, rng, opened, lowest=True)[0]
        return np.concatenate([largest[None], small[None], more])

    def draw(
        self, n: int, rng: np.random.Generator, opened: float = 1.0, *, lowest: bool = False
    ) -> Genes:
        """n networks, int16 [n, slots], of the upper `opened` of the FLOPs bins."""
        genes, _, bins = self._pool  # type: ignore[attr-defined]
        usable = bins[min(len(bins) - 1, int((1 - opened) * len(bins))) :]
        if lowest:
            usable = usable[:1]
        if self.fair:
            rows = [rng.choice(usable[rng.integers(len(usable))]) for _ in range(n)]
        else:
            every = np.concatenate(usable)
            rows = [rng.choice(every) for _ in range(n)]
        return genes[np.array(rows, dtype=np.intp)]

    def record(self) -> dict[str, Any]:
        """What makes two samplers one and the same, for files."""
        return {
            "limits": {k: list(map(int, v)) for k, v in sorted(self.limits.items())},
            "flops": list(self.flops) if self.flops else None,
            **{n: getattr(self, n) for n in ("sampling", "random", "fair", "warm", "widened")},
            "seed": self.seed,
        }
