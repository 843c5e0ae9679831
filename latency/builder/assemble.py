"""The table of a finished campaign: its header, its scale and its errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from latency.builder.campaign import Campaign
from latency.builder.grid import Grid, summary
from latency.devices.health import states, warnings
from latency.measure.drift import REFERENCE
from latency.table.accuracy import common_factor, left_out_error, predictions, scaled_errors
from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable
from space.common.provenance import commit, today_utc, versions


def finished_table(
    campaign: Campaign, *, target: str, grid: Grid, command: str, seed: int
) -> LatencyTable:
    """The table of a finished campaign, with its scale factor and its errors.

    Raises:
        MissingOpError: blocks of the networks were too noisy, so that nothing predicts them.
    """
    plan, session, journal = campaign.plan, campaign.session, campaign.journal
    entries, noisy = campaign.blocks()
    spreads = [m.spread for m in entries.values()]
    spread = float(np.median(spreads))
    header = TableHeader(
        layout="blocks",
        target=target,
        source="measured",
        device=session.chip,
        engine=session.engine,
        engine_version=session.engine_version,
        threads=session.threads,
        batch=campaign.batch,
        dtype=session.dtype,
        input="x".join(str(side) for side in plan.held_out[0].input_shape[1:]),
        date=today_utc(),
        versions={**versions("numpy"), **session.versions},
        commit=commit(),
        command=command,
        grid=f"{grid.name}: {summary(plan.targets)}, seed {seed}",
        host=session.host_info | {"id": session.host} | states(journal.states),
        noise={
            "spread": round(spread, 4),
            "spread_90pct": round(float(np.quantile(spreads, 0.9)), 4),
            "samples": int(np.median([m.n for m in entries.values()])),
            "disturbed": round(campaign.outlier_share(), 4),
            "reference": REFERENCE,
            "reference_s": float(f"{campaign.reference_s():.5g}"),
            "stopped_by": campaign.stopped_by,
            "seconds": round(journal.spent_s),
            "processor_share": round(journal.processor_s / max(journal.device_s, 1e-9), 3),
            "too_noisy": [str(block) for block in noisy],
            "warnings": warnings(session.host_info, journal.states, session.threads, spread),
        },
    )
    table = LatencyTable(header, entries)
    factor = common_factor(predictions(table, plan.scale_set), campaign.networks_s(plan.scale_set))
    how = f"geometric mean of measured / predicted, {len(plan.scale_set)} other random networks"
    errors: dict[str, Any] = {"seed": seed}
    for name, nets in (("held_out", plan.held_out), ("on_grid", plan.on_grid)):
        errors[name] = scaled_errors(predictions(table, nets), factor, campaign.networks_s(nets))
    errors["left_out_blocks"] = left_out_error(
        {b: m.median_s for b, m in entries.items()}, {b: m.error for b, m in entries.items()}
    )
    scale = {"factor": round(factor, 5), "how": how}
    return LatencyTable(replace(header, scale=scale, network_error=errors), entries)
