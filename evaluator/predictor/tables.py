"""Public tables as spaces with genes, scores and a prior, so that a predictor can be judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluator.benchmarks.public_tables import BenchmarkTable, read_table
from evaluator.benchmarks.ranking import closed_form
from evaluator.estimate.sources import OFA, AxisSource, read_once_for_all
from evaluator.estimate.stored import fit_public, read_public
from evaluator.predictor.encoding import Scores
from evaluator.predictor.prior import LabelPrior, prior_of_source
from evaluator.score.closed_form import ClosedForm, Floats
from space.architectures.search_space import Parameter, SearchSpace

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class JudgedNetworks:
    """n trained networks: genes int [n, parameters] of a space, costs as scores, name -> [n], the
    closed form [n] where the table has one, accuracy in % [n], FLOPs [n]; and what other sources
    say of them, a prior with features [n, features], None if these are missing."""

    space: SearchSpace
    genes: NDArray[np.int64]
    costs: Scores
    closed_form: Floats | None
    accuracy: Floats
    flops: Floats
    prior: LabelPrior | None = None
    features: Floats | None = None

    def __len__(self) -> int:
        return len(self.genes)

    @property
    def scores(self) -> Scores:
        """Costs and closed form."""
        form = {} if self.closed_form is None else {"closed form": self.closed_form}
        return {**form, **self.costs}

    def take(self, rows: Rows) -> JudgedNetworks:
        return JudgedNetworks(
            self.space,
            self.genes[rows],
            {name: values[rows] for name, values in self.costs.items()},
            None if self.closed_form is None else self.closed_form[rows],
            self.accuracy[rows],
            self.flops[rows],
            self.prior,
            None if self.features is None else self.features[rows],
        )


def as_space(table: BenchmarkTable) -> tuple[SearchSpace, NDArray[np.int64]]:
    """What a table varies as a space, and its networks as genes int [n, parameters]."""
    parameters, genes = [], []
    varied = {"width": table.widths, "depth": table.depths, "expansion": table.splits}
    for name, values in {**varied, "kernel": table.kernels, "se": table.se}.items():
        for stage, column in enumerate(values.T, 1):
            choices, index = np.unique(column, return_inverse=True)
            if len(choices) > 1:
                parameters.append(
                    Parameter(f"{name}{stage}", tuple(choices.tolist()), len(choices))
                )
                genes.append(index)
    return SearchSpace(table.name, tuple(parameters)), np.column_stack(genes)


def read_judged(dataset: str, data: str | Path | None = None) -> dict[str, JudgedNetworks]:
    """Data set -> the networks of a source with their accuracy there, without a prior.

    Raises:
        ValueError: no table has this name, or it has an impossible value.
        MissingDataError: the folder or the table is missing.
        OSError: the file cannot be read.
    """
    if dataset == OFA:
        return {"ImageNet": _once_for_all(read_once_for_all(data))}
    table = read_table(dataset, data)
    space, genes = as_space(table)
    costs = {"log FLOPs": np.log(table.flops), "log params": np.log(table.params)}
    form = closed_form(table, ClosedForm())
    return {
        target: JudgedNetworks(space, genes, costs, form, accuracy, table.flops)
        for target, accuracy in table.accuracy.items()
    }


def _once_for_all(source: AxisSource) -> JudgedNetworks:
    """Its depths are the genes. Expansion and kernel differ from unit to unit, their means over
    the units of a stage are scores."""
    depths = source.axes["depth"].astype(np.int64)
    parameters, genes = [], []
    for stage, column in enumerate(depths.T, 1):
        choices, index = np.unique(column, return_inverse=True)
        if len(choices) > 1:
            parameters.append(Parameter(f"depth{stage}", tuple(choices.tolist()), len(choices)))
            genes.append(index)
    scores = {
        f"{axis}{stage}": values
        for axis in ("width", "kernel")
        for stage, values in enumerate(source.axes[axis].T, 1)
    }
    scores["log FLOPs"] = np.log(source.flops)
    space = SearchSpace(source.name, tuple(parameters))
    return JudgedNetworks(
        space, np.column_stack(genes), scores, None, source.accuracy, source.flops
    )


def with_priors(
    judged: dict[str, JudgedNetworks], dataset: str, data: str | Path | None = None
) -> dict[str, JudgedNetworks]:
    """The same networks with the prior that all other sources give: none of the source's data
    sets is in it.

    Raises:
        ValueError: a table has an impossible value, or another number of networks.
        MissingDataError: a table of another source is missing.
        OSError: a file cannot be read.
    """
    public = read_public(data)
    effects = fit_public(public, without=dataset).effects
    found = {}
    for target, networks in judged.items():
        names = (dataset, f"{dataset} {target}")
        source = next(each for each in public.sources if each.name in names)
        prior, features = prior_of_source(source, effects)
        # A table of splits calls its widths expansions.
        named = {parameter.name for parameter in networks.space.parameters} | set(networks.costs)
        others = (name.replace("width", "expansion") for name in prior.names)
        covers = tuple(
            name if name in named else other
            for name, other in zip(prior.names, others, strict=True)
        )
        prior = LabelPrior(prior.names, covers, prior.coefficients, prior.factors, prior.diagonal)
        found[target] = JudgedNetworks(
            networks.space,
            networks.genes,
            networks.costs,
            networks.closed_form,
            networks.accuracy,
            networks.flops,
            prior,
            features,
        )
    return found
