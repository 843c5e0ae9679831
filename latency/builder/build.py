"""Builds a latency table: measure, validate on networks, save; a killed build goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from latency.builder.campaign import Campaign, Effort, affordable, usual_effort
from latency.builder.config import BuildConfig, table_path
from latency.builder.grid import Grid, summary, usual_grid
from latency.builder.journal import Journal
from latency.builder.measurements import Measurements
from latency.builder.memory import require_memory
from latency.builder.plan import Plan, make_plan
from latency.devices.health import states, warnings
from latency.devices.open import open_session
from latency.devices.session import Log, Session, require_real_time
from latency.measure.drift import REFERENCE
from latency.table.accuracy import common_factor, left_out_error, scaled_errors
from latency.table.describe import format_build_errors
from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable
from latency.table.load import HOST_TARGET, load_table
from latency.table.networks import predictions
from space.common.cli import log as log_line
from space.common.errors import MissingOpError, NoAnswerError
from space.common.files import locked, writable_folder
from space.common.progress import Progress
from space.common.provenance import commit, today_utc, versions
from space.common.text import format_duration


def build_table(
    config: BuildConfig,
    *,
    session: Session | None = None,
    grid: Grid | None = None,
    effort: Effort | None = None,
    log: Log = log_line,
) -> LatencyTable:
    """Measure blocks and networks, scale and validate the table, and save it.

    The table's .json and .csv appear when it is complete, with the raw times beside them
    (.samples.jsonl). A build that was stopped goes on where it was, from its .journal.jsonl.

    Args:
        session: by default opened on the config's device, and closed.
        grid, effort: which blocks and how long; by default as `config.coarse` chooses.
        log: called with each line for the user.

    Raises:
        ValueError: an engine, dtype or device that is unknown or emulated, the journal of another
            build at this path, or another build that is running there; more memory is needed than
            there is.
        MemoryError: the device ran out of memory; what was measured is kept.
        ImportError: a package is not installed; the message says what to install.
        OSError: the device is out of reach, or the table cannot be written.
        NoAnswerError: too many blocks were too noisy.

    Example:
        >>> import tempfile
        >>> grid = Grid("few", stem=8, first=9, rest=12, head=9)  # by default 400 blocks or more
        >>> effort = Effort(min_passes=1, max_passes=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     config = BuildConfig(engine="null", input="32x32", networks=2, out=f"{folder}/t")
        ...     table = build_table(config, grid=grid, effort=effort, log=lambda line: None)
        >>> table.header.input, table.header.noise["stopped_by"]
        ('32x32', 'stable')
    """
    if session is None:
        usual = "torch-cuda" if config.device == "gpu" else "onnxruntime"
        engine = usual if config.engine is None else config.engine
        with open_session(
            config.device, engine, threads=config.threads, dtype=config.dtype, log=log
        ) as opened:
            return build_table(config, session=opened, grid=grid, effort=effort, log=log)
    require_real_time(session)
    out = table_path(config, session)
    writable_folder(out.parent)
    with locked(out, "build"):
        table = _measured_table(config, session, out, grid, effort, log)
        log(format_build_errors(table.header))
        for line in table.header.noise["warnings"]:
            log(f"warning: {line}")
        log(f"written: {out}, {out.with_suffix('.csv').name}")
    return table


def _measured_table(
    config: BuildConfig,
    session: Session,
    out: Path,
    grid: Grid | None,
    effort: Effort | None,
    log: Log,
) -> LatencyTable:
    """Measure a table, with the journal beside `out`, and save it there."""
    gpu = "accelerator" in session.host_info
    grid = grid or usual_grid(coarse=config.coarse, accelerator=gpu)
    effort = effort or usual_effort(session, config.coarse)
    for line in warnings(session.host_info, [], session.threads):
        log(f"warning: {line}")
    plan = make_plan(grid, config.space, config.networks, config.seed, config.relax)
    require_memory(session, (job.chains for job in plan.jobs), config.batch)
    journal_path = out.with_suffix(".journal.jsonl")
    if config.fresh:
        journal_path.unlink(missing_ok=True)
    names = ("host", "engine", "engine_version", "threads", "dtype")
    identity = {"device": session.chip, **{name: getattr(session, name) for name in names}}
    identity |= {"batch": config.batch, "seed": config.seed, "grid": grid.name}
    with Journal(journal_path, identity | {"plan": plan.digest}, plan.sizes) as journal:
        effort, expected_s, costs = affordable(plan, session, effort, config.batch)
        campaign = Campaign(plan, session, journal, effort, config.batch, config.seed, costs)
        _log_start(plan, session, journal, (expected_s, effort.max_s), log)
        with Progress("", lines="jobs", log=log) as bar:
            try:
                campaign.run(
                    lambda i, done, jobs: bar.update(
                        done, jobs, title=f"pass {i + 1}", left_s=campaign.left_s
                    )
                )
            except MemoryError as error:
                raise MemoryError(
                    f"{error}; what was measured is kept: with that memory free the same command "
                    "goes on, with other sizes it takes --fresh or another --out"
                ) from error
        try:
            origin = _origin(plan, session, config=config, grid=grid, target=out.stem)
            table = finished_table(campaign, origin, seed=config.seed)
        except MissingOpError as error:
            raise NoAnswerError(
                f"no table: {error}; too many blocks were too noisy: measure again with --fresh "
                "when the machine is quiet"
            ) from error
    table.save(out)
    journal_path.replace(out.with_suffix(".samples.jsonl"))
    return table


def _log_start(
    plan: Plan, session: Session, journal: Journal, seconds: tuple[float, float], log: Log
) -> None:
    """Say what is measured, how long it takes (expected, at most), and what is done already."""
    count = len(plan.scale_set) + len(plan.held_out) + len(plan.on_grid)
    # Which of several GPUs, where there is one.
    where = session.host_info.get("accelerator", {}).get("card", session.chip)
    log(
        f"{len(plan.targets)} blocks and {count} networks on {where}, "
        f"{session.engine} {session.engine_version}, "
        f"{session.threads} thread{'s' * (session.threads > 1)}: about "
        f"{format_duration(seconds[0])}, at most about {format_duration(max(seconds))}"
    )
    if journal.done:
        spent = format_duration(journal.spent_s)
        log(f"{len(journal.done)} jobs (about {spent}) are done already")


def _origin(
    plan: Plan, session: Session, *, config: BuildConfig, grid: Grid, target: str
) -> TableHeader:
    """The header of a table that is measured now: where, with what, when."""
    return TableHeader(
        layout="blocks",
        target=target,
        source="measured",
        device=session.chip,
        engine=session.engine,
        engine_version=session.engine_version,
        threads=session.threads,
        batch=config.batch,
        dtype=session.dtype,
        input="x".join(map(str, plan.held_out[0].input_shape[1:])),
        channels=config.channels,
        classes=config.classes,
        date=today_utc(),
        versions={**versions("numpy"), **session.versions},
        commit=commit(),
        command=config.command,
        grid=f"{grid.name}: {summary(plan.targets)}, seed {config.seed}",
        host=session.host_info | {"id": session.host},
    )


def finished_table(found: Measurements, origin: TableHeader, *, seed: int) -> LatencyTable:
    """The table of a finished measurement, with its scale factor, its noise and its errors.

    Args:
        origin: where and when it was measured.
        seed: of the plan.

    Raises:
        MissingOpError: blocks of the networks were too noisy, so that nothing predicts them.
    """
    plan, samples = found.plan, found.samples
    entries, noisy = found.blocks()
    spreads = [m.spread for m in entries.values()]
    spread = float(np.median(spreads))
    header = replace(
        origin,
        host=origin.host | states(samples.states),
        noise={
            "spread": round(spread, 4),
            "spread_90pct": round(float(np.quantile(spreads, 0.9)), 4),
            "samples": int(np.median([m.n for m in entries.values()])),
            "disturbed": round(found.outlier_share(), 4),
            "reference": REFERENCE,
            "reference_s": float(f"{found.reference_s():.5g}"),
            "stopped_by": found.stopped_by,
            "seconds": round(samples.spent_s),
            "processor_share": round(samples.processor_s / max(samples.device_s, 1e-9), 3),
            "too_noisy": [str(block) for block in noisy],
            "warnings": warnings(origin.host, samples.states, origin.threads, spread),
        },
    )
    table = LatencyTable(header, entries)
    factor = common_factor(predictions(table, plan.scale_set), found.networks_s(plan.scale_set))
    how = f"geometric mean of measured / predicted, {len(plan.scale_set)} other random networks"
    errors: dict[str, Any] = {"seed": seed}
    for name, nets in (("held_out", plan.held_out), ("on_grid", plan.on_grid)):
        errors[name] = scaled_errors(predictions(table, nets), factor, found.networks_s(nets))
    errors["left_out_blocks"] = left_out_error(
        {b: m.median_s for b, m in entries.items()},
        {b: m.error for b, m in entries.items()},
        table.gpu,
    )
    scale = {"factor": round(factor, 5), "how": how}
    return LatencyTable(replace(header, scale=scale, network_error=errors), entries)


def ensure_host_table(*, log: Log = log_line) -> LatencyTable:
    """This host's table; if there is none, measure a coarse one (about a minute).

    Raises:
        ValueError: the host's file is damaged, of another chip, or a cost model.
        ImportError, OSError, NoAnswerError: as `build_table`.
    """
    try:
        table = load_table(HOST_TARGET)
    except FileNotFoundError:
        log("no latency table of this host yet: measuring a coarse one")
        return build_table(BuildConfig(coarse=True, command="ensure_host_table()"), log=log)
    if not isinstance(table, LatencyTable):
        raise ValueError("this host's table must have measured blocks; build it again")
    return table
