"""The closed-form score of a space's genes: a sum of small tables of one or two parameters.

Parameters that break a guideline are scored by the fan-in of a unit's 1x1 convolutions,
so that opening them is no free gain: per unit of stage weight `groups` g costs log(g) / 2 (the
geometric mean of channels and fan-in) and `bottleneck` r gains log(r) / 2 (that of the fan-ins of
both convolutions). Fragments, residual and extra ReLU do not change the score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluator.score.closed_form import ClosedForm, Floats, mean_log_split
from space.architectures.search_space import SearchSpace

CHUNK = 8192  # rows that stay in the cache
FIRST_SPLIT = 0.5  # of a stage's first unit, the one of stride 2
STAGE_PARAMETERS = ("width", "depth", "split", "kernel")
NEUTRAL = ("fragments", "residual", "extra_relu")


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTerm:
    """What the choices of some parameters add to the score: genes of `columns` index `table`."""

    columns: tuple[int, ...]
    table: Floats


def terms(space: SearchSpace) -> tuple[ScoreTerm, ...]:
    """The terms whose sum is the score; each is of one parameter, or of a stage's depth and split.

    Raises:
        ValueError: the space has a parameter that the score does not know.
    """
    form = ClosedForm()
    columns = {parameter.name: column for column, parameter in enumerate(space.parameters)}
    values = {
        parameter.name: np.array([float(choice) for choice in parameter.choices])
        for parameter in space.parameters
        if parameter.name not in NEUTRAL
    }
    stages = [name.removeprefix("width") for name in columns if name.startswith("width")]
    scale = form.scale(len(stages))
    found: dict[tuple[str, ...], Floats] = {}
    for stage, weight in zip(stages, scale, strict=True):
        width, depth, split, kernel = (values.pop(f"{name}{stage}") for name in STAGE_PARAMETERS)
        shares = mean_log_split(np.log(split), np.log(FIRST_SPLIT), depth[:, None])
        units = form.depth_term(depth)[:, None] + shares
        found[(f"width{stage}",)] = weight * form.width_term(width)
        found[(f"kernel{stage}",)] = weight * form.kernel_term(kernel)
        found[f"depth{stage}", f"split{stage}"] = weight * units
    for name, weight in (
        ("stem", form.passthrough / form.growth),
        ("head", form.passthrough * scale[-1]),
        ("groups", -0.5 * scale.sum()),
        ("bottleneck", 0.5 * scale.sum()),
    ):
        if name in values:
            found[(name,)] = weight * np.log(values.pop(name))
    if values:
        raise ValueError(
            f"the closed form knows no parameter {', '.join(values)} of {space.name}."
        )
    return tuple(
        ScoreTerm(tuple(columns[n] for n in names), table) for names, table in found.items()
    )


def score_genes(space: SearchSpace, genes: NDArray[np.integer]) -> Floats:
    """The closed-form score [n] of genes int [n, parameters]; higher is better, without unit.

    Raises:
        ValueError: another number of genes, or a parameter that the score does not know.

    Example:
        >>> import numpy as np
        >>> from space import ShuffleNetV2Space
        >>> space = ShuffleNetV2Space()
        >>> genes = space.sample(3, np.random.default_rng(0))
        >>> score_genes(space, genes).round(2)
        array([39.28, 38.38, 39.04])
    """
    if genes.shape[1] != len(space.parameters):
        raise ValueError(f"genes must be [n, {len(space.parameters)}]; got shape {genes.shape}.")
    total = np.zeros(len(genes))
    parts = terms(space)
    for start in range(0, len(genes), CHUNK):
        rows = slice(start, start + CHUNK)
        by_parameter = np.ascontiguousarray(genes[rows].T).astype(np.intp)
        for part in parts:
            total[rows] += part.table[tuple(by_parameter[column] for column in part.columns)]
    return total


def free_scores(
    space: SearchSpace, genes: NDArray[np.integer], flops: Floats, params: Floats
) -> dict[str, Floats]:
    """The training-free scores that a predictor reads beside the genes, name -> [n].

    Args:
        genes: int [n, parameters].
        flops, params: of the networks, [n].
    """
    closed_form = score_genes(space, genes)
    return {"closed form": closed_form, "log FLOPs": np.log(flops), "log params": np.log(params)}
