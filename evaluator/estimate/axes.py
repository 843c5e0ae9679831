"""The axes of the space: what a network's parameters are in the terms of the pooled effects.

A network has one feature for each of `NAMES`, a function of one parameter:

- `width`: the log of a stage's width;
- `depth`: its units up to four, the most that sources vary in a group;
- `deeper`: the log of its units over four, 0 up to four;
- `split`: the log of the share that a unit transforms, over a half;
- `kernel`: 1 - 9 / kernel^2;
- `stem`, `head`: the log of their width over ShuffleNet v2 1x's.

`price` is what an axis would be worth if its FLOPs were worth what those of the widths are: what a
network of more FLOPs gains on the curve. An axis that no source varies has this coefficient, and
one as large as its standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluator.estimate.fit import AxisEffects
from evaluator.estimate.sources import kernel_gain
from space.architectures.search_space import Genes
from space.architectures.shufflenet_v2 import STAGES, ShuffleNetV2Space
from space.cost.lookup import CostModel
from space.network.network import Network
from space.zoo.families import SHUFFLENET_V2

Floats = NDArray[np.float64]
MOST_UNITS = 4
STAGED = ("width", "depth", "deeper", "split", "kernel")
NAMES = ("stem", *(f"{axis}{stage}" for stage in STAGES for axis in STAGED), "head")
UNVARIED = ("deeper", "split", "stem", "head")
UNVARIED_SHARE = 1.0
"""The standard deviation of a coefficient that no source measures, as a share of it."""
INNER = 0.5
"""What a unit of log inner width is worth, over one of log width: its share of the FLOPs' log."""
PAPER_STEM, PAPER_HEAD = 24, 1024
FACTORS = ("scale", "growth", "depth", "kernel")


def axis_of_feature(name: str) -> str:
    """The axis of a feature, without its stage."""
    return name.rstrip("0123456789")


def parameter_of(name: str) -> str:
    """The parameter of the space that a feature is a function of."""
    return name.replace("deeper", "depth")


def feature(name: str, values: Floats) -> Floats:
    """The feature of a parameter's values, [choices]."""
    match axis_of_feature(name):
        case "width":
            return np.log(values)
        case "depth":
            return np.minimum(values, MOST_UNITS)
        case "deeper":
            return np.log(np.maximum(values, MOST_UNITS) / MOST_UNITS)
        case "split":
            return np.log(2 * values)
        case "kernel":
            return kernel_gain(values)
    return np.log(values / (PAPER_STEM if name == "stem" else PAPER_HEAD))


def feature_tables(space: ShuffleNetV2Space) -> list[tuple[int, Floats]]:
    """For each feature its column of the genes, and its values for the choices there."""
    found = []
    for name in NAMES:
        column = space.position(parameter_of(name))
        choices = space.parameters[column].choices
        found.append((column, feature(name, np.array([float(choice) for choice in choices]))))
    return found


def features(space: ShuffleNetV2Space, genes: Genes) -> Floats:
    """The features of genes [n, parameters], float64 [n, len(NAMES)].

    Raises:
        ValueError: another shape, a gene out of range, or a network outside the family.
    """
    if genes.ndim != 2 or genes.shape[1] != len(space.parameters):
        raise ValueError(
            f"genes must be [n, {len(space.parameters)}]; got shape {list(genes.shape)}"
        )
    space.check(genes)
    outside = genes[:, space.variant_columns] != 0
    if outside.any():
        row, column = (int(index) for index in np.argwhere(outside)[0])
        parameter = space.parameters[space.variant_columns][column]
        choice = parameter.choices[genes[row, space.variant_columns][column]]
        raise ValueError(
            f"the estimate knows plain ShuffleNet v2 units alone, `{parameter.name}` must be "
            f"{parameter.choices[0]}; got {choice} in network {row}"
        )
    return np.column_stack([values[genes[:, column]] for column, values in feature_tables(space)])


def paper_genes(space: ShuffleNetV2Space) -> Genes:
    """The four networks of the paper, smallest first, int16 [4, parameters]."""
    points = (space.point(widths, head=head) for widths, head in SHUFFLENET_V2.values())
    return np.array([point.genes for point in points], dtype=np.int16)


def log_flops_slopes(space: ShuffleNetV2Space) -> Floats:
    """What a unit of each feature adds to the log of FLOPs, at ShuffleNet v2 1x, [features]; of
    `depth` the mean over two to four units."""
    start = np.array([space.point((116, 232, 464)).genes], dtype=np.int16)
    costs = CostModel(space)
    found = []
    for name, (column, values) in zip(NAMES, feature_tables(space), strict=True):
        gene, most = int(start[0, column]), len(values) - 1
        genes = np.repeat(start, 2, axis=0)
        if axis_of_feature(name) == "depth":
            choices = list(space.parameters[column].choices)
            genes[:, column] = choices.index(2), choices.index(MOST_UNITS)
        elif axis_of_feature(name) == "deeper":
            choices = list(space.parameters[column].choices)
            genes[:, column] = choices.index(MOST_UNITS), choices.index(2 * MOST_UNITS)
        else:
            genes[:, column] = max(gene - 1, 0), min(gene + 1, most)
        log = np.log(costs.costs(genes).flops)
        low, high = (values[index] for index in genes[:, column])
        found.append(float((log[1] - log[0]) / (high - low)))
    return np.array(found)


_AXES = np.array([axis_of_feature(name) for name in NAMES])
_STAGE_OF = [STAGES.index(int(name[-1])) if name[-1].isdigit() else -1 for name in NAMES]


@dataclass(frozen=True, slots=True, eq=False)
class AxisModel:
    """What each feature is worth, in units of deviation, and how sure that is.

    The variance of a difference d of features is |factors' d|^2 + sum of diagonal * d^2.

    Attributes:
        coefficients: [features].
        factors: [features, FACTORS], what a standard deviation of a common effect changes.
        diagonal: [features], the variance of each coefficient by itself.
        prices: [features], the coefficients if all FLOPs were worth as much.
    """

    coefficients: Floats
    factors: Floats
    diagonal: Floats
    prices: Floats

    def variance(self, difference: Floats) -> Floats:
        """The variance [n] of differences of features [n, features]."""
        common = np.square(difference @ self.factors).sum(axis=1)
        return np.asarray(common + np.square(difference) @ self.diagonal)


def axis_model(space: ShuffleNetV2Space, effects: AxisEffects) -> AxisModel:
    """The axes of a space by pooled effects.

    `scale` draws every coefficient towards its price: what the sources say of deviations from
    equal worth is that share of what their effects foretell.
    """
    levels: Floats = np.arange(1.0 - len(STAGES), 1.0)
    scale, slopes = effects.scale.mean, log_flops_slopes(space)
    weight, turn, worth = (_by_stage(values) for values in (
        effects.weights(levels), effects.turns(levels), np.ones(len(STAGES))
    ))  # fmt: skip
    wide, depth, kernel = (worth * (_AXES == axis) for axis in ("width", "depth", "kernel"))
    inner = INNER * (depth * effects.depth.mean + kernel * effects.kernel.mean)
    pooled = weight * (wide + inner)
    prices = _prices(slopes, effects.weights(levels), scale)
    varied = wide + depth + kernel > 0
    coefficients = np.where(varied, scale * pooled + (1 - scale) * prices, prices)
    by_scatter = np.square(effects.scatter * scale * pooled)
    diagonal = np.where(varied, by_scatter, np.square(UNVARIED_SHARE * prices))
    changes = {
        "scale": np.where(varied, pooled - prices, 0),
        "growth": scale * pooled * turn,
        "depth": scale * INNER * weight * depth,
        "kernel": scale * INNER * weight * kernel,
    }
    factors = [changes[name] * np.sqrt(getattr(effects, name).next_variance) for name in FACTORS]
    return AxisModel(coefficients, np.column_stack(factors), diagonal, prices)


def _by_stage(values: Floats) -> Floats:
    """Each feature's value of its stage, [features]; 0 of stem and head."""
    return np.array([values[stage] if stage >= 0 else 0.0 for stage in _STAGE_OF])


def _prices(slopes: Floats, weights: Floats, scale: float) -> Floats:
    """The price of each feature, [features]. Of stem, head and widths, FLOPs are worth what they
    are on average over the widths; of other axes of a stage, what they are in its width."""
    wide = _AXES == "width"
    rate = weights.sum() / slopes[wide].sum()
    width = scale * weights + (1 - scale) * slopes[wide] * rate
    staged = _by_stage(width / slopes[wide])
    return np.where(wide | (staged == 0), slopes * rate, slopes * staged)


def genes_of_network(space: ShuffleNetV2Space, network: Network) -> Genes:
    """The genes of a network, int16 [1, parameters].

    Raises:
        ValueError: it is no network of the space; the message names the unit that is not.
    """
    kinds = [block.kind for block in network.blocks]
    known = ("stem", "shufflenet_v2", "head")
    other = next((kind for kind in kinds if kind not in known), None)
    if other or kinds[:1] != ["stem"] or kinds[-1:] != ["head"]:
        raise ValueError(
            "the estimate knows a stem, plain ShuffleNet v2 units and a head alone, without "
            "squeeze-and-excite, h-swish, groups or shortcuts; "
            f"{network.name} has {other or ', '.join(kinds[:3])}"
        )
    units: list[list[int]] = []
    for place, block in enumerate(network.blocks[1:-1], 1):
        if block["stride"] == 2:
            units.append([])
        if not units:
            break
        units[-1].append(place)
    words = [space.name, f"stem={network.blocks[0]['c_out']}"]
    if len(units) == len(STAGES):
        last = [network.blocks[places[-1]] for places in units]
        words.append("width=" + ",".join(str(block["c_out"]) for block in last))
        words.append("depth=" + ",".join(str(len(places)) for places in units))
        splits = (_split(space, block["c_out"], block["branch"]) for block in last)
        words.append("split=" + ",".join(splits))
        words.append("kernel=" + ",".join(str(block["kernel"]) for block in last))
        words.append(f"head={network.blocks[-1]['c_out']}")
        try:
            genes = space.parse(" ".join(words))
        except ValueError as error:
            raise ValueError(f"{network.name} is outside the space: {error}") from None
        if space.lower(genes).blocks == network.blocks:
            return np.array([genes.genes], dtype=np.int16)
    raise ValueError(
        f"the estimate knows three stages of equal plain units at 224x224 alone; {network.name} "
        "has others"
    )


def _split(space: ShuffleNetV2Space, width: int, branch: int) -> str:
    """The choice of a split nearest to a branch's share."""
    choices = space.parameters[space.position("split2")].choices
    return str(min(choices, key=lambda choice: abs(float(choice) * width - branch)))
