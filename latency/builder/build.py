"""Build a latency table: measure, check on networks, save; a killed build goes on."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latency.builder.campaign import Effort
    from latency.builder.grid import Grid
    from latency.devices.session import Session
    from latency.table.latency_table import LatencyTable
    from space.architectures.shufflenet_v2 import ShuffleNetV2Space

Report = Callable[[str], None]


def build_table(
    *,
    device: str = "cpu",
    engine_name: str | None = None,
    threads: int = 1,
    batch: int = 1,
    dtype: str = "float32",
    coarse: bool = False,
    out: Path | str | None = None,
    seed: int = 0,
    networks: int = 20,
    fresh: bool = False,
    command: str = "",
    say: Report | None = None,
    grid: Grid | None = None,
    effort: Effort | None = None,
    size: str = "224x224",
    relax: Sequence[str] = (),
) -> LatencyTable:
    """Measure, check on networks not in the table, save; go on where a killed build stopped.

    Args:
        device: as `latency.devices.open_session` takes it.
        engine_name: onnxruntime if None, on a GPU torch-cuda.
        say: told what happens, line by line; stderr if None.
        grid, effort: instead of those that `coarse` chooses.
        size: height x width of the networks' input.
        relax: guidelines; units that break them are measured too.

    Raises:
        ValueError, ImportError, OSError: cannot be done as asked; one line says why.
    """
    from latency.devices.open import open_session

    say = say or _to_stderr
    if networks < 2 or batch < 1:
        raise ValueError(f"needs `networks` >= 2 and `batch` >= 1; got {networks} and {batch}")
    space = _space(size)
    engine = engine_name or ("torch-cuda" if device == "gpu" else "onnxruntime")
    with open_session(device, engine, threads=threads, dtype=dtype, say=say) as session:
        if session.emulation and session.engine != "null":
            raise ValueError(
                f"{session.where} is emulated ({session.emulation}): its wall time is not "
                "latency, so no table; latency.estimate makes one of such a chip"
            )
        return measure_table(
            session,
            table_path(out, session, batch, size, here=device == "cpu"),
            batch=batch,
            coarse=coarse,
            seed=seed,
            networks=networks,
            fresh=fresh,
            command=command,
            say=say,
            grid=grid,
            effort=effort,
            space=space,
            relax=relax,
        )


def measure_table(
    session: Session,
    out: Path,
    *,
    batch: int,
    coarse: bool,
    seed: int,
    networks: int,
    fresh: bool,
    command: str,
    say: Report,
    grid: Grid | None,
    effort: Effort | None,
    space: ShuffleNetV2Space,
    relax: Sequence[str] = (),
) -> LatencyTable:
    """`build_table` on a session that is open, into `out` (.json)."""
    from latency.builder.assemble import finished_table
    from latency.builder.campaign import Campaign, Effort, affordable
    from latency.builder.grid import COARSE, FULL
    from latency.builder.journal import Journal
    from latency.builder.plan import make_plan
    from latency.devices.health import warnings
    from latency.table.describe import error_lines
    from space.common.progress import Progress

    grid = grid or (COARSE if coarse else FULL)
    effort = effort or (Effort(max_s=100.0, tolerance=0.02) if coarse else Effort())
    plan = make_plan(grid, space, networks, seed, relax)
    journal_path = out.with_suffix(".journal.jsonl")
    if fresh:
        journal_path.unlink(missing_ok=True)
    threads = session.threads
    identity = {
        "device": session.chip,
        "host": session.host,
        "engine": session.engine,
        "engine_version": session.engine_version,
        "threads": threads,
        "dtype": session.dtype,
        "batch": batch,
        "seed": seed,
        "grid": grid.name,
        "plan": plan.digest,
    }
    for line in warnings(session.facts, [], threads):
        say(f"warning: {line}")
    with Journal(journal_path, identity) as journal:
        effort, expected_s = affordable(plan, session, effort, batch)
        campaign = Campaign(plan, session, journal, effort, batch, seed)
        count = 2 * networks + len(plan.on_grid)
        say(
            f"{len(plan.targets)} blocks and {count} networks on {session.chip}, "
            f"{session.engine} {session.engine_version}, {threads} thread{'s' * (threads > 1)}: "
            f"{_duration(expected_s)}, at most {_duration(max(effort.max_s, expected_s))}"
        )
        if journal.done:
            say(f"{len(journal.done)} jobs ({_duration(journal.spent_s)}) are done already")
        with Progress("", lines="jobs", log=say) as bar:
            campaign.run(lambda i, done, jobs: bar.update(done, jobs, title=f"pass {i + 1}"))
        table = finished_table(campaign, target=out.stem, grid=grid, command=command, seed=seed)
    table.save(out)
    journal_path.replace(out.with_suffix(".samples.jsonl"))
    for line in error_lines(table.header):
        say(line)
    for line in table.header.noise["warnings"]:
        say(f"warning: {line}")
    say(f"written: {out}, {out.with_suffix('.csv').name}")
    return table


def _space(size: str = "224x224") -> ShuffleNetV2Space:
    """The search space on images of this size; ValueError if it is none."""
    from space.architectures.shufflenet_v2 import ShuffleNetV2Space

    height, _, width = size.partition("x")
    if not (height.isdecimal() and width.isdecimal() and min(int(height), int(width)) >= 32):
        raise ValueError(f"--input must be HEIGHTxWIDTH, 32x32 or more; got {size!r}")
    return ShuffleNetV2Space(height=int(height), width=int(width))


def table_path(
    out: Path | str | None, session: Session, batch: int, size: str = "224x224", *, here: bool
) -> Path:
    """Where a table goes: `out`, or in it under the device's name if it is a folder (one that
    exists, or ends with a slash); without it this host's own place, or the cache folder."""
    from latency.table.load import host_table_path
    from space.common.files import cache_dir

    words = [session.chip.partition(" (")[0], session.engine]
    words += [f"{session.threads}-threads"] * (session.threads > 1)
    words += [f"batch-{batch}"] * (batch > 1) + [session.dtype] * (session.dtype != "float32")
    words += [size] * (size != "224x224")
    name = "-".join(re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-") for word in words)
    if out is None:
        return host_table_path() if here and size == "224x224" else cache_dir() / f"{name}.json"
    if Path(out).is_dir() or str(out).endswith("/"):
        return Path(out) / f"{name}.json"
    return Path(out).with_suffix(".json")


def ensure_host_table(*, say: Report | None = None) -> LatencyTable:
    """This host's table; a coarse one is measured first if there is none (about a minute)."""
    from latency.table.latency_table import LatencyTable
    from latency.table.load import HOST_TARGET, load_table

    say = say or _to_stderr
    try:
        table = load_table(HOST_TARGET)
    except FileNotFoundError:
        say("no latency table of this host yet: measuring a coarse one")
        return build_table(coarse=True, say=say, command="ensure_host_table()")
    if not isinstance(table, LatencyTable):
        raise ValueError("this host's table must have measured blocks; build it again")
    return table


def _duration(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
