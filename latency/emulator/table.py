"""A latency table of the space's blocks, estimated: the builder behind `latency.estimate`."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from latency.builder.grid import MAX_BEFORE, Grid, block_in_context, space_targets, summary
from latency.emulator.counter import Job
from latency.emulator.estimator import Estimator, Request, Work
from latency.emulator.model import CycleModel
from latency.engines.ncnn.writer import build_param
from latency.measure.block import BlockTarget
from latency.table.accuracy import error_summary, left_out_error, predictions
from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable, Measurement
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.provenance import commit
from space.network.block import Block, Chain
from space.network.network import Network

# Blocks of each family: more of the stride-2 units, whose two branches fall on and off an engine's
# packing apart; chosen by how well left-out blocks are told (docs/estimate.md).
GRID = Grid("estimated", stem=8, first=40, rest=26, head=16)
# Networks whose blocks are all in the table: ShuffleNet v2 0.5x and 1x (its Table 5).
EXACT = (
    "shufflenet_v2 stem=24 width=48,96,192 depth=4,8,4 split=1/2,1/2,1/2 kernel=3,3,3 head=1024",
    "shufflenet_v2 stem=24 width=116,232,464 depth=4,8,4 split=1/2,1/2,1/2 kernel=3,3,3 head=1024",
)
COPIES = 1  # counts differ by no noise: one more copy tells as much as six
WHOLE = 4  # random networks whose sums of blocks are compared with themselves estimated whole,
WHOLE_FLOPS = 150e6  # of at most so many multiply-adds
FLOAT32 = {"use_fp16_packed": False, "use_fp16_storage": False, "use_fp16_arithmetic": False}

Report = Callable[[int, int], None]


def chain_request(chain: Chain, *, float32: bool = False) -> Request:
    """A chain of blocks, its caches overwritten before each run as the rest of a network would."""
    first = chain[0]
    options = FLOAT32 if float32 else {}
    shape = (first.width, first.height, first.c_in)
    job = Job(build_param(chain), shape, options, evict=True)
    return Request(job, sum(block.flops for block in chain))


def targets_of(grid: Grid, space: ShuffleNetV2Space) -> list[BlockTarget]:
    """The grid's blocks and those of `EXACT`, where they stand in a network."""
    targets = {target.block: target for target in space_targets(grid, space)}
    for text in EXACT:
        before: Chain = ()
        for block in space.lower(space.parse(text)).blocks:
            targets.setdefault(block, block_in_context(block, before))
            before = (*before, block)[-MAX_BEFORE:]
    return [
        replace(target, copies=COPIES) if target.before == (target.block,) else target
        for target in targets.values()
    ]


def chains_of(targets: Iterable[BlockTarget]) -> list[Chain]:
    """Every chain that the targets need, once."""
    return list(dict.fromkeys(chain for target in targets for chain in target.chains))


def block_work(targets: Sequence[BlockTarget], works: dict[Chain, Work]) -> dict[Block, Work]:
    """What each block adds: the long chain less the one before it."""
    found: dict[Block, Work] = {}
    for target in targets:
        long = works[target.long]
        added = long - works[target.before] if target.before else long
        found[target.block] = added / target.copies
    return found


def whole_networks(space: ShuffleNetV2Space, seed: int) -> list[Network]:
    """Networks to compare sums of blocks with: `EXACT`, and random ones."""
    rows = space.sample(20 * WHOLE, np.random.default_rng(seed))
    random = [space.lower(space.architecture(row)) for row in rows]
    small = [network for network in random if network.flops <= WHOLE_FLOPS]
    return [space.lower(space.parse(text)) for text in EXACT] + small[:WHOLE]


def model_of(header: TableHeader) -> CycleModel:
    """The model that an estimated table was made with.

    Raises:
        ValueError: the table is not an estimated one.
    """
    facts = header.extra.get("estimate")
    if not facts:
        raise ValueError(f"{header.target} is {header.source}: it has no model of an estimate")
    first, second, third = facts["waits"]
    return CycleModel(facts["base"], header.scale["factor"], (first, second, third))


def make_table(
    estimator: Estimator,
    model: CycleModel,
    targets: Sequence[BlockTarget],
    works: dict[Chain, Work],
    whole: Sequence[Network],
    *,
    target: str,
    grid: Grid,
    network_error: dict[str, Any],
    how: str,
    command: str,
    seed: int,
) -> LatencyTable:
    """The table. Rows are seconds before the model's factor, which is the header's scale.

    Args:
        network_error: the errors on published networks.
        whole: networks whose chains are in `works`; the sum of their blocks is compared with them.
        how: how the factor and the waits were got.
    """
    core = estimator.core
    plain = replace(model, factor=1.0)
    entries = {}
    for block, work in block_work(targets, works).items():
        seconds = plain.seconds(work, core)
        entries[block] = Measurement(seconds, seconds, seconds, 1)
    header = TableHeader(
        layout="blocks",
        target=target,
        source="estimated",
        device=f"{core.board}, estimated",
        engine=estimator.engine,
        engine_version=estimator.engine_version,
        threads=1,
        batch=1,
        dtype=core.dtype,
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        versions={"python": platform.python_version(), **estimator.versions},
        commit=commit(),
        command=command,
        grid=f"{grid.name}: {summary(targets)}",
        scale={"factor": round(model.factor, 5), "how": how},
        network_error=network_error,
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
    table = LatencyTable(header, entries)
    errors = dict(network_error)
    errors["left_out_blocks"] = left_out_error(
        {b: m.median_s for b, m in entries.items()}, {b: m.error for b, m in entries.items()}
    )
    if whole:
        estimated = np.array([plain.seconds(works[n.blocks], core) for n in whole])
        errors["sum_of_blocks"] = {
            "what": f"sums of blocks against the same networks estimated whole, seed {seed}",
            **error_summary(predictions(table.unscaled(), whole), estimated),
        }
    return LatencyTable(replace(header, network_error=errors), entries)
