"""The estimate of one network, however it is given, and of many genes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from evaluator.estimate import RECIPES
from evaluator.estimate.axes import genes_of_network
from evaluator.estimate.model import LEVEL, AccuracyEstimates, AccuracyModel
from evaluator.estimate.stored import shipped
from space.architectures.search_space import Architecture, Genes
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.network import Network
from space.zoo.catalog import published_network

AnyNetwork = str | Architecture | Network


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyEstimate:
    """The estimate of one network, as `estimate_accuracy` returns it.

    Attributes:
        recipe: of the training.
        mean, low, high, sd: top-1 on ImageNet in %, its interval and standard deviation.
        difference, difference_low, difference_high, difference_sd: to the baseline, in points.
        by_axis: parameter -> what it adds to the difference to ShuffleNet v2 of the same FLOPs,
            and the standard deviation of that, in points.
        level: of the intervals.

    Example:
        >>> from evaluator import estimate_accuracy
        >>> found = estimate_accuracy("ShuffleNet v2 0.5x", recipe="megvii")
        >>> found.recipe, f"{found.mean:.1f}", found.low < 61.1 < found.high
        ('megvii', '61.1', True)
    """

    recipe: str
    mean: float
    low: float
    high: float
    sd: float
    difference: float
    difference_low: float
    difference_high: float
    difference_sd: float
    by_axis: dict[str, tuple[float, float]]
    level: float


def estimate_accuracy(
    network: AnyNetwork,
    *,
    recipe: str = RECIPES[0],
    baseline: AnyNetwork | None = None,
    level: float = LEVEL,
) -> AccuracyEstimate:
    """Top-1 on ImageNet that a network of plain ShuffleNet v2 units is likely to reach.

    Args:
        network: an architecture, its text, a network, or the name of a published one.
        recipe: "torchvision", "megvii" (the authors'), "paddle", "gluon" or "gluon-b".
        baseline: what `difference` is to; None: ShuffleNet v2 of the same FLOPs.
        level: of the intervals.

    Raises:
        ValueError: the network is outside the family, a name or recipe is not known, or the level
            is not between 0 and 1.

    Example:
        >>> from evaluator import estimate_accuracy
        >>> found = estimate_accuracy("ShuffleNet v2 1.0x")
        >>> f"{found.mean:.1f} %, {found.low:.1f} to {found.high:.1f}"
        '69.3 %, 69.0 to 69.6'
        >>> wider = "shufflenet_v2 stem=24 width=96,212,512 depth=4,8,4 split=1/2,1/2,1/2"
        >>> found = estimate_accuracy(f"{wider} kernel=5,5,5 head=1024")
        >>> f"{found.difference:+.1f}, {found.difference_low:+.1f} to {found.difference_high:+.1f}"
        '+0.7, -0.4 to +1.9'
    """
    model = shipped_model(recipe)
    base = None if baseline is None else as_genes(model.space, baseline)
    found = model.estimate(as_genes(model.space, network), baseline=base, level=level)
    names = [name for name in AccuracyEstimates.__slots__ if name not in ("by_axis", "level")]
    return AccuracyEstimate(
        recipe=recipe,
        **{name: float(getattr(found, name)[0]) for name in names},
        by_axis={axis: (float(a[0]), float(b[0])) for axis, (a, b) in found.by_axis.items()},
        level=level,
    )


def estimate_genes(
    genes: Genes | Sequence[Sequence[int]],
    *,
    recipe: str = RECIPES[0],
    baseline: AnyNetwork | None = None,
    level: float = LEVEL,
) -> AccuracyEstimates:
    """Estimates of n networks of `ShuffleNetV2Space`, given as genes int [n, parameters].

    Args:
        recipe, baseline, level: as of `estimate_accuracy`.

    Raises:
        ValueError: genes of another shape or out of range, or as of `estimate_accuracy`.

    Example:
        >>> import numpy as np
        >>> from evaluator import estimate_genes
        >>> from space import ShuffleNetV2Space
        >>> genes = ShuffleNetV2Space().sample(3, np.random.default_rng(0))
        >>> found = estimate_genes(genes)
        >>> found.mean.shape, bool((found.difference_sd < found.sd).all())
        ((3,), True)
    """
    model = shipped_model(recipe)
    base = None if baseline is None else as_genes(model.space, baseline)
    array = np.asarray(genes)
    if array.dtype.kind not in "iu":
        raise ValueError(f"genes must be integers; got dtype {array.dtype}")
    return model.estimate(array, baseline=base, level=level)


@cache
def shipped_model(recipe: str) -> AccuracyModel:
    """The shipped estimate of a recipe, for `ShuffleNetV2Space()`.

    Raises:
        ValueError: no curve has this name; the message lists the known ones.
    """
    fitted = shipped()
    return AccuracyModel(ShuffleNetV2Space(), fitted.curve(recipe), fitted.effects)


def as_genes(space: ShuffleNetV2Space, network: AnyNetwork) -> Genes:
    """The genes of a network, int16 [1, parameters].

    Raises:
        ValueError: it is outside the family, or a name is not known.
    """
    if isinstance(network, str):
        if network.split(" ")[0] != space.name:
            return genes_of_network(space, published_network(network).network())
        network = space.parse(network)
    if isinstance(network, Network):
        return genes_of_network(space, network)
    space.check_architecture(network)
    return np.array([network.genes], dtype=np.int16)
