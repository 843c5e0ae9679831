"""A latency table of the space's blocks, estimated without the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from latency.builder.grid import MAX_BEFORE, Grid, block_in_context, space_targets, summary
from latency.emulator.counter import CountRequest
from latency.emulator.estimator import Estimator, Work
from latency.emulator.model import CycleModel
from latency.engines.ncnn.writer import build_param
from latency.measure.block import BlockTarget
from latency.table.accuracy import error_summary, left_out_error
from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable, Measurement
from latency.table.networks import predictions
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.provenance import commit, today_utc, versions
from space.network.block import Block, Chain
from space.network.network import Network

# Blocks of each family, the grid with the least errors on left-out blocks
# (docs/results/estimated-tables.md). It has more of the stride-2 units, whose two branches fit an
# engine's packing at different widths.
GRID = Grid("estimated", stem=8, first=40, rest=26, head=16)
# Networks whose blocks are all in the table: ShuffleNet v2 0.5x and 1x (its Table 5).
EXACT = (
    "shufflenet_v2 stem=24 width=48,96,192 depth=4,8,4 split=1/2,1/2,1/2 kernel=3,3,3 head=1024",
    "shufflenet_v2 stem=24 width=116,232,464 depth=4,8,4 split=1/2,1/2,1/2 kernel=3,3,3 head=1024",
)
RANDOM_NETWORKS, SEED = 4, 0  # compared, beside `EXACT`, with the sums of their blocks,
RANDOM_FLOPS = 150e6  # of at most so many multiply-adds


@dataclass(frozen=True, slots=True)
class EstimatePlan:
    """The blocks of a table, in context, and the networks that check their sums."""

    grid: Grid
    targets: tuple[BlockTarget, ...]
    networks: tuple[Network, ...]

    @property
    def chains(self) -> list[Chain]:
        """Every chain to count, once."""
        blocks = [chain for target in self.targets for chain in target.chains]
        return list(dict.fromkeys([*blocks, *(network.blocks for network in self.networks)]))


def plan_estimate(grid: Grid) -> EstimatePlan:
    """The grid's blocks and those of `EXACT`, in context; the networks of `EXACT` and random ones
    of the space."""
    space = ShuffleNetV2Space()
    exact = [space.lower(space.parse(text)) for text in EXACT]
    targets = {target.block: target for target in space_targets(grid, space)}
    for network in exact:
        before: Chain = ()
        for block in network.blocks:
            targets.setdefault(block, block_in_context(block, before))
            before = (*before, block)[-MAX_BEFORE:]
    rows = space.sample(20 * RANDOM_NETWORKS, np.random.default_rng(SEED))
    random = [space.lower(space.architecture(row)) for row in rows]
    small = [network for network in random if network.flops <= RANDOM_FLOPS]
    # Counts have no noise, so one more copy serves as well as six.
    single = tuple(replace(target, copies=1) for target in targets.values())
    return EstimatePlan(grid, single, (*exact, *small[:RANDOM_NETWORKS]))


def chain_request(chain: Chain) -> CountRequest:
    """A chain to count, with caches overwritten before the run, as the rest of a network would."""
    first = chain[0]
    shape = (first.width, first.height, first.c_in)
    return CountRequest(build_param(chain), shape, sum(b.flops for b in chain), evict=True)


def block_work(targets: Sequence[BlockTarget], works: Mapping[Chain, Work]) -> dict[Block, Work]:
    """The work that the one copy of each block adds: the long chain's less the one before it."""
    found: dict[Block, Work] = {}
    for target in targets:
        long = works[target.long]
        found[target.block] = long - works[target.before] if target.before else long
    return found


def make_table(
    estimator: Estimator,
    comparison: dict[str, Any],
    plan: EstimatePlan,
    works: Mapping[Chain, Work],
    command: str,
) -> LatencyTable:
    """The table of a core. Rows are seconds before the model's factor, the header's scale.

    Args:
        comparison: of `compare_with_published`, with the fitted model and its errors.
        works: the work of each chain of the plan.
    """
    core, fitted = estimator.core, comparison["model"]
    model = CycleModel(fitted["base"], 1.0, tuple(fitted["waits"]))
    added = block_work(plan.targets, works)
    seconds = {block: model.seconds(work, core) for block, work in added.items()}
    entries = {block: Measurement(s, s, s, 1) for block, s in seconds.items()}
    header = TableHeader(
        layout="blocks",
        target=core.device,
        source="estimated",
        device=f"{core.board}, estimated",
        engine=estimator.engine,
        engine_version=estimator.engine_version,
        dtype=core.dtype,
        date=today_utc(),
        versions=versions() | estimator.versions,
        commit=commit(),
        command=command,
        grid=f"{plan.grid.name}: {summary(plan.targets)}",
        scale={"factor": round(fitted["factor"], 5), "how": fitted["how"]},
        extra={
            "estimate": {
                "core": core.name,
                "scheduling_model": f"llvm-mca {core.mca_cpu} {core.mca_features}",
                "hertz": core.hertz,
                "caches": [list(level) for level in core.caches],
                "base": model.base,
                "waits": [round(wait, 4) for wait in model.waits],
                "formula": "scale x (base + sum of wait x misses of its level) / hertz",
            }
        },
    )
    summed = predictions(LatencyTable(header, entries).unscaled(), plan.networks)
    estimated = np.array([model.seconds(works[n.blocks], core) for n in plan.networks])
    errors = {
        **comparison["network_error"],
        "left_out_blocks": left_out_error(seconds, {b: m.error for b, m in entries.items()}),
        "sum_of_blocks": {
            "what": f"sums of blocks against the same networks estimated whole, seed {SEED}",
            **error_summary(summed, estimated),
        },
    }
    return LatencyTable(replace(header, network_error=errors), entries)
