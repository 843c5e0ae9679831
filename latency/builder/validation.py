"""How well a table predicts random networks that are measured now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latency.builder.memory import require_memory
from latency.builder.random_networks import SPACE, random_networks, space_of
from latency.builder.verdict import table_verdict
from latency.devices.open import open_session
from latency.devices.session import Log, Session, require_real_time
from latency.measure.cost import probe_costs, work_of
from latency.measure.drift import REFERENCE, reference_chain
from latency.measure.network import ROUNDS, ROUNDS_IN_A_PASS, TOGETHER, Timings, time_networks
from latency.table.accuracy import scaled_errors
from latency.table.describe import format_error
from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable
from latency.table.load import load_table
from latency.table.networks import predictions
from space.common.cli import check_range
from space.common.cli import log as log_line
from space.common.files import check_regular, writable_folder, write_atomic
from space.common.progress import Progress
from space.common.text import format_duration
from space.network.network import Network

MOST_NETWORKS = 10_000


def validate_table(
    target: str,
    *,
    networks: int = 200,
    seed: int = 0,
    family: str = SPACE,
    relax: Sequence[str] = (),
    device: str = "cpu",
    out: Path | None = None,
    log: Log = log_line,
) -> dict[str, Any]:
    """Measure random networks and compare them with a table's predictions.

    Returns:
        What `latency.validate --format json` prints. `verdict` is that of
        `latency.builder.verdict.table_verdict`. `unscaled` and `scaled` are the errors
        (`latency.table.accuracy.error_summary`) without and with the table's scale factor, at the
        machine's speed now. `pace` is the reference network's time when the table was built and
        now, {"network", "then_s", "now_s"}. `at_pace` has the errors at the speed of then,
        {"unscaled", "scaled"}: they are the table's own. Both are None if the table lacks that
        time.

    Args:
        target: a name or path, as `load_table` takes it.
        family, relax: which networks, as `random_networks` takes them.
        device: as `latency.devices.open.open_session` takes it.
        out: a CSV file of the seconds, a row for each network.
        log: called with each line for the user: how long it takes, and whether this is another
            chip than the table's.

    Raises:
        ValueError: a number out of range, an unknown family, a table that was not measured on a
            device, or an emulated device.
        MissingOpError: the table lacks blocks of these networks.
        ImportError: the engine's package is not installed.
        OSError: the device is out of reach, or `out` cannot be written.

    Example:
        >>> import tempfile
        >>> from latency.builder.build import build_table
        >>> from latency.builder.campaign import Effort
        >>> from latency.builder.config import BuildConfig
        >>> from latency.builder.grid import Grid
        >>> grid, effort = Grid("few", stem=8, first=9, rest=12, head=9), Effort(max_passes=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     config = BuildConfig(engine="null", input="32x32", networks=2, out=f"{folder}/t")
        ...     _ = build_table(config, grid=grid, effort=effort, log=lambda line: None)
        ...     found = validate_table(f"{folder}/t.json", networks=2, log=lambda line: None)
        >>> found["networks"], found["pace"]["network"]
        (2, 'ShuffleNet v2 1.5x')
    """
    check_range({"networks": networks, "seed": seed}, "seed", networks=(2, MOST_NETWORKS))
    table = load_table(target)
    header = table.header
    if not isinstance(table, LatencyTable) or header.source != "measured":
        raise ValueError(f"{target} must be a table measured on a device; it says {header.label}")
    if out is not None:
        writable_folder(out.parent)
        if out.exists():
            check_regular(out)
    chosen = random_networks(family, networks, seed, space_of(header), relax)
    unscaled = predictions(table.unscaled(), chosen)
    timings, chip = _time_on_device(header, device, chosen, log)
    scale = float(header.scale["factor"])
    measured = timings.seconds()
    now = scaled_errors(unscaled, scale, measured)
    columns: dict[str, Any] = {
        "network": [network.name for network in chosen],
        "flops": [network.flops for network in chosen],
        "predicted_s": unscaled,
        "scaled_s": unscaled * scale,
        "measured_s": measured,
    }
    pace = at_pace = None
    if (then_s := header.noise.get("reference_s")) is not None:
        now_s = float(f"{timings.reference_s:.5g}")
        pace = {"network": REFERENCE, "then_s": then_s, "now_s": now_s}
        columns["measured_at_pace_s"] = timings.seconds(then_s)
        at_pace = scaled_errors(unscaled, scale, columns["measured_at_pace_s"])
    if out is not None:
        import pandas as pd

        rows = pd.DataFrame(columns)
        write_atomic(out, rows.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    found = {
        "networks": networks,
        "within_5pct": now["unscaled"]["within_5pct"],
        "within_3pct_scaled": now["scaled"]["within_3pct"],
        "scale": scale,
        "mean_abs_error": now["unscaled"]["mean_abs_error"],
        "spearman": now["unscaled"]["spearman"],
        "family": family,
        "relaxed": list(relax),
        "seed": seed,
        "table": header.target,
        "latency": header.label,
        **now,
        "pace": pace,
        "at_pace": at_pace,
    }
    return found | {"verdict": table_verdict(header, chip, device, found)}


def _time_on_device(
    header: TableHeader, device: str, networks: Sequence[Network], log: Log
) -> tuple[Timings, str]:
    """End-to-end latencies of the networks on a device, and its chip."""
    with open_session(
        device, header.engine, threads=header.threads, dtype=header.dtype
    ) as session:
        require_real_time(session)
        if session.chip != header.device:
            log(
                f"warning: the table is of {header.device}, {session.where} is {session.chip}: "
                "another chip, whose latencies the table does not claim to know"
            )
        if line := version_warning(header, session):
            log(line)
        require_memory(session, [[n.blocks for n in networks][:TOGETHER]], header.batch)
        seconds = validation_s(session, networks, header.batch)
        log(
            f"{len(networks)} networks on {session.chip}, {session.engine} "
            f"{session.engine_version}, {session.threads} thread{'s' * (session.threads > 1)}: "
            f"about {format_duration(seconds)}, at most twice that"
        )
        with Progress("", lines="timings", log=log) as bar:
            timings = time_networks(
                session,
                networks,
                batch=header.batch,
                report=lambda title, done, total: bar.update(done, total, title=title),
            )
        return timings, session.chip


def version_warning(header: TableHeader, session: Session) -> str:
    """A line for the user if the table was measured with other versions than run here; else ""."""
    others = ", ".join(other_versions(header, session))
    if not others:
        return ""
    return (
        f"warning: the table was measured with {others}: other versions may choose other kernels"
    )


def other_versions(header: TableHeader, session: Session) -> list[str]:
    """What has another version here than when the table was measured, as "torch 2.11.0 (here
    2.14.1)": the engine, and what it names besides, as CUDA and cuDNN."""
    then = {header.engine: header.engine_version, **header.versions}
    now = {session.engine: session.engine_version, **session.versions}
    # One name for each pair of versions: that of torch-cuda is torch's.
    pairs = {(then.get(name, version), version): name for name, version in now.items()}
    return [f"{name} {old} (here {new})" for (old, new), name in pairs.items() if old != new]


def validation_s(session: Session, networks: Sequence[Network], batch: int) -> float:
    """Wall seconds that `latency.measure.network.time_networks` takes, without repetitions, from
    one round of a few networks.

    Raises:
        OSError: as `Session.time`.
    """
    reference = reference_chain(*networks[0].input_shape[1:])
    chains = [network.blocks for network in networks]
    calls = [chains[i : i + TOGETHER] for i in range(0, len(chains), TOGETHER)]
    costs = probe_costs(session, calls, batch=batch, steady=True, reference=reference)
    works = [work_of([reference, *call]) for call in calls]
    passes = ROUNDS // ROUNDS_IN_A_PASS if len(chains) > TOGETHER else 1
    rounds = ROUNDS // passes
    return costs.seconds(works, rounds) + (passes - 1) * costs.again_s(works, rounds)


def format_validation(found: dict[str, Any]) -> str:
    """What `validate_table` found, as lines for people."""
    lines = [
        f"{found['networks']} random networks ({found['family']}), seed {found['seed']}, "
        f"table {found['table']}"
    ]
    rows = [("nothing fitted", found["unscaled"]), ("its scale", found["scaled"])]
    if at_pace := found["at_pace"]:
        rows += [("at its pace", at_pace["unscaled"]), ("  and its scale", at_pace["scaled"])]
    lines += [f"{name:15} {format_error(row, digits=1)}" for name, row in rows]
    if found["pace"]:
        name, then_s, now_s = found["pace"].values()
        lines.append(
            f"pace: {name} usually took {now_s * 1e3:.3g} ms now, {then_s * 1e3:.3g} ms when "
            f"the table was built ({now_s / then_s - 1:+.1%}); `at its pace`: every time over "
            "that network's of the same round"
        )
    if found.get("verdict"):
        lines.append(f"verdict: {found['verdict']['text']}")
    return "\n".join(lines)
