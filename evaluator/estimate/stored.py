"""The fitted estimate on disk: a JSON file that ships, with where its numbers come from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from evaluator.estimate import RECIPES
from evaluator.estimate.curve import COEFFICIENTS, RecipeCurve, fit_curves
from evaluator.estimate.fit import EFFECTS, AxisEffects, EqualFlops, equal_flops, fit_effects
from evaluator.estimate.pooling import PooledEffect
from evaluator.estimate.sources import LICENCES, AxisSource, read_sources
from evaluator.estimate.zoo import (
    RecipeRow,
    depth_of_deepened,
    read_zoo,
    rows_of_recipes,
)
from space.common.files import write_atomic
from space.common.provenance import commit, today_utc, versions
from space.common.schema import Integer, Items, Number, Record, Text, Values, read_json
from space.common.text import shorten

SCHEMA = 1
SHIPPED = Path(__file__).parent / "coefficients.json"
COMMAND = "python -m evaluator.benchmark DIR --write FILE"
_ROW = Items(Number(), least=COEFFICIENTS, most=COEFFICIENTS)
_EFFECT = Record(
    {
        "mean": Number(-100, 100),
        "within": Number(0, 1e4),
        "between": Number(0, 1e4),
        "variance": Number(0, 1e4),
        "studies": Integer(1, 1000),
        "df": Integer(1, 1000),
    },
    required=("mean", "within", "between", "variance", "studies", "df"),
)
_CURVE = Record(
    {
        "coefficients": _ROW,
        "inverse": Items(_ROW, least=COEFFICIENTS, most=COEFFICIENTS),
        "noise": Number(0, 100),
        "df": Integer(1, 1000),
        "lowest": Number(1, 1e15),
        "highest": Number(1, 1e15),
        "flops": Items(Number(1, 1e15), least=2, most=1000),
        "top1": Items(Number(0, 100), least=2, most=1000),
        "source": Text(),
        "licence": Text(),
    },
    required=("coefficients", "inverse", "noise", "df", "lowest", "highest", "flops", "top1"),
)
_STUDY = Items(Number(), least=2, most=2)
_SOURCE = Record({"networks": Integer(1), "licence": Text()}, required=("networks", "licence"))
FILE = Record(
    {
        "schema": Integer(),
        "date": Text(),
        "commit": Text(),
        "command": Text(),
        "versions": Values(Text()),
        "sources": Values(_SOURCE),
        "curves": Values(_CURVE, most=1000),
        "effects": Record(dict.fromkeys(EFFECTS, _EFFECT), required=EFFECTS),
        "scatter": Number(0, 100),
        "studies": Values(Values(_STUDY)),
    },
    required=("schema", "curves", "effects", "scatter", "studies"),
)


@dataclass(frozen=True, slots=True, eq=False)
class FittedEstimate:
    """What an estimate is made of: the effects, the curve of each recipe, and the FLOPs and top-1
    of the rows that it runs through."""

    effects: AxisEffects
    curves: dict[str, RecipeCurve]
    points: dict[str, tuple[list[float], list[float]]]

    def curve(self, recipe: str) -> RecipeCurve:
        """The curve of a recipe.

        Raises:
            ValueError: no curve has this name; the message lists the known ones.
        """
        if recipe not in self.curves:
            raise ValueError(
                f"the recipe must be one of {', '.join(self.curves)}; got {shorten(recipe)}"
            )
        return self.curves[recipe]


@dataclass(frozen=True, slots=True, eq=False)
class PublicData:
    """The sources, read once: at equal FLOPs, and the published rows."""

    equals: list[EqualFlops]
    published: list[RecipeRow]

    @property
    def sources(self) -> list[AxisSource]:
        return [equal.source for equal in self.equals]


def read_public(data: str | Path | None = None) -> PublicData:
    """Read all that the estimate is fitted on.

    Args:
        data: the folder of tables; None: $G4NAS_DATA.

    Raises:
        ValueError: a file lacks a column or has an impossible value; one line that names it.
        MissingDataError: the folder or a table is missing.
        OSError: a file cannot be read.
    """
    published = read_zoo(data)
    return PublicData([equal_flops(source) for source in read_sources(data)], published)


def fit_public(public: PublicData, *, without: str = "") -> FittedEstimate:
    """Fit the estimate, on all sources or all but one.

    Args:
        without: the group of sources that is left out.

    Raises:
        ValueError: too little is left to fit on.
    """
    rows = rows_of_recipes(public.published)
    points = {
        recipe: ([row.flops for row in of], [row.top1 for row in of])
        for recipe, of in rows.items()
    }
    curves = fit_curves(points)
    noise = curves[RECIPES[0]].noise

    def deepened(log_growth: float) -> tuple[float, float]:
        return depth_of_deepened(public.published, log_growth, noise)

    kept = [equal for equal in public.equals if equal.source.group != without]
    return FittedEstimate(fit_effects(kept, deepened), curves, points)


def write_fitted(path: Path, fitted: FittedEstimate, public: PublicData) -> None:
    """Replace the file atomically.

    Raises:
        OSError: it cannot be written.
    """
    rows = rows_of_recipes(public.published)
    curves = {}
    for recipe, curve in fitted.curves.items():
        flops, top1 = fitted.points[recipe]
        curves[recipe] = {
            "coefficients": curve.coefficients.tolist(),
            "inverse": curve.inverse.tolist(),
            **{name: getattr(curve, name) for name in ("noise", "df", "lowest", "highest")},
            "flops": flops,
            "top1": top1,
            "source": f"{rows[recipe][0].file}: {rows[recipe][0].recipe}",
            "licence": rows[recipe][0].licence,
        }
    content = {
        "schema": SCHEMA,
        "date": today_utc(),
        "commit": commit(),
        "command": COMMAND,
        "versions": versions("numpy", "scipy"),
        "sources": {
            source.name: {"networks": len(source.flops), "licence": LICENCES[source.group]}
            for source in public.sources
        },
        "curves": curves,
        "effects": {name: asdict(getattr(fitted.effects, name)) for name in EFFECTS},
        "scatter": fitted.effects.scatter,
        "studies": fitted.effects.studies,
    }
    write_atomic(path, json.dumps(content, indent=1) + "\n")


def read_fitted(path: Path) -> FittedEstimate:
    """The estimate in a file.

    Raises:
        ValueError: it is not of this schema, or damaged; one line that names the file.
        OSError: it cannot be read.
    """
    content = read_json(path, FILE)
    if content["schema"] != SCHEMA:
        raise ValueError(f"{path} must be an estimate of schema {SCHEMA}; got {content['schema']}")
    for name, of in content["curves"].items():
        if of["lowest"] >= of["highest"] or len(of["flops"]) != len(of["top1"]):
            raise ValueError(f"{path}: the rows of curve {shorten(name)} contradict each other")
    studies = {
        effect: {source: (mean, variance) for source, (mean, variance) in of.items()}
        for effect, of in content["studies"].items()
    }
    effects = AxisEffects(
        **{name: _effect(content["effects"][name]) for name in EFFECTS},
        scatter=float(content["scatter"]),
        studies=studies,
    )
    curves = {name: _curve(of) for name, of in content["curves"].items()}
    points = {name: (of["flops"], of["top1"]) for name, of in content["curves"].items()}
    return FittedEstimate(effects, curves, points)


def _effect(of: dict[str, Any]) -> PooledEffect:
    names: Sequence[str] = PooledEffect.__slots__
    return PooledEffect(**{name: of[name] for name in names})


def _curve(of: dict[str, Any]) -> RecipeCurve:
    return RecipeCurve(
        np.array(of["coefficients"], dtype=float),
        np.array(of["inverse"], dtype=float),
        float(of["noise"]),
        int(of["df"]),
        float(of["lowest"]),
        float(of["highest"]),
    )


@cache
def shipped() -> FittedEstimate:
    """The estimate that ships."""
    return read_fitted(SHIPPED)
