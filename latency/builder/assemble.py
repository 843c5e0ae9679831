"""Assembles a latency table from the samples of a finished build, without measuring anything."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from latency.builder.build import finished_table
from latency.builder.config import MOST_NETWORKS, BuildConfig
from latency.builder.grid import GRIDS
from latency.builder.journal import Samples, read_samples
from latency.builder.measurements import Measurements
from latency.builder.plan import make_plan
from latency.devices.session import Log
from latency.table.describe import format_build_errors
from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable
from space.common.cli import check_range
from space.common.cli import log as log_line
from space.common.errors import MissingOpError, NoAnswerError
from space.common.files import locked, read_text, writable_folder
from space.common.provenance import commit, today_utc
from space.common.schema import Integer, Record, Text, check
from space.common.text import shorten

NAMES = ("engine", "engine_version", "threads", "dtype", "batch")  # the samples have these as well
_IDENTITY = Record(
    {"host": Text(), "seed": Integer(0, 2**32 - 1), "grid": Text(), "plan": Text()},
    required=("device", "host", "seed", "grid", "plan", *NAMES),
)
_HELD_OUT = Record(
    {"held_out": Record({"unscaled": Record({"networks": Integer(2, MOST_NETWORKS)})})},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembleConfig:
    """What `assemble_table` reads and writes.

    Args:
        samples: NAME.samples.jsonl of a build, or the same compressed, .xz.
        header: the header of that build's table; by default NAME.json beside the samples.
        out: the table's path, or a folder (one that exists, or ends with a slash).
        networks: that validated the table; by default what its header says.
        relax: guidelines that were relaxed in that build.
        command: the command line, for the table's header.

    Raises:
        ValueError: `networks` is out of its range.
    """

    samples: Path
    header: Path | None = None
    out: Path | str = ""
    networks: int | None = None
    relax: tuple[str, ...] = ()
    command: str = ""

    def __post_init__(self) -> None:
        if self.networks is not None:
            check_range({"networks": self.networks}, networks=(2, MOST_NETWORKS))

    @property
    def header_path(self) -> Path:
        """The header of the measurement."""
        name = self.samples.name.removesuffix(".xz").removesuffix(".samples.jsonl")
        return self.header or self.samples.with_name(f"{name}.json")

    @property
    def table_path(self) -> Path:
        """Where the table goes."""
        if Path(self.out).is_dir() or str(self.out).endswith("/"):
            return Path(self.out) / self.header_path.name
        return Path(self.out).with_suffix(".json")


def assemble_table(config: AssembleConfig, *, log: Log = log_line) -> LatencyTable:
    """Make a table from a build's samples as `latency.build` does at its end: correct drift, fit,
    scale, judge on the networks, save.

    The table's header says what was measured where, as that of the build did; `assembled` says
    from which samples and by which commit this one was made.

    Args:
        log: called with each line for the user.

    Raises:
        ValueError: damaged samples or header, samples of another measurement than the header's, of
            another plan than the settings give, or of an unfinished build.
        OSError: a file cannot be read or written.
        NoAnswerError: too many blocks were too noisy.
    """
    identity, rows = read_samples(config.samples)
    header = _header(config, identity)
    networks = config.networks
    if networks is None:
        error = _checked(config.header_path, header.network_error, _HELD_OUT)
        networks = error.get("held_out", {}).get("unscaled", {}).get("networks", 20)
    build = BuildConfig(
        threads=header.threads,
        batch=header.batch,
        dtype=header.dtype,
        input=header.input or "224x224",
        channels=header.channels,
        classes=header.classes,
        relax=config.relax,
        seed=identity["seed"],
        networks=networks,
        command=header.command,
    )
    found = _measurements(config.samples, identity, rows, build)
    found.stopped_by = str(header.noise.get("stopped_by", ""))
    out = config.table_path
    writable_folder(out.parent)
    with locked(out, "build"):
        source = {
            "samples": config.samples.name,
            "samples_sha256": hashlib.sha256(config.samples.read_bytes()).hexdigest(),
            "command": config.command,
            "commit": commit(),
            "date": today_utc(),
        }
        origin = replace(header, target=out.stem, scale={"factor": 1.0, "how": "none"})
        origin = replace(origin, extra=header.extra | {"assembled": source})
        try:
            table = finished_table(found, origin, seed=build.seed)
        except MissingOpError as error:
            raise NoAnswerError(f"no table: {error}; too many blocks were too noisy") from error
        table.save(out)
    log(format_build_errors(table.header))
    log(f"written: {out}, {out.with_suffix('.csv').name}")
    return table


def _header(config: AssembleConfig, identity: dict[str, Any]) -> TableHeader:
    """The header of the measurement, which must be that of the samples."""
    path = config.header_path
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise ValueError(
            f"{path} must say what was measured where, as latency.build writes it beside "
            f"{config.samples.name}; it does not exist: name it with --header"
        ) from None
    try:
        header = TableHeader.from_json(text)
        if header.layout != "blocks" or header.source != "measured":
            raise ValueError(f"must be of a table measured on a device; it says {header.label}")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    _checked(config.samples, identity, _IDENTITY)
    expected = {"device": header.device, "host": header.host.get("id", identity["host"])}
    expected |= {name: getattr(header, name) for name in NAMES}
    for name, value in expected.items():
        if identity[name] != value:
            raise ValueError(
                f"{config.samples} was measured with {name} {shorten(identity[name])}, {path} "
                f"says {shorten(value)}: name the header of that measurement with --header"
            )
    if identity["grid"] not in GRIDS:
        raise ValueError(
            f"{config.samples}, line 1: `grid` must be one of {', '.join(GRIDS)}; got "
            f"{shorten(identity['grid'])}"
        )
    return header


def _checked(path: Path, value: Any, spec: Record) -> Any:
    try:
        return check(value, spec)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _measurements(
    path: Path, identity: dict[str, Any], rows: list[dict[str, Any]], build: BuildConfig
) -> Measurements:
    """What these samples say.

    Raises:
        ValueError: they are of another plan than the build's, or lack jobs of it.
    """
    plan = make_plan(GRIDS[identity["grid"]], build.space, build.networks, build.seed, build.relax)
    if plan.digest != identity["plan"]:
        raise ValueError(
            f"{path} has samples of plan {shorten(identity['plan'])}; these settings give "
            f"{plan.digest}: --networks and --relax must be those of that build"
        )
    samples = Samples(plan.sizes)
    for number, row in enumerate(rows, 2):
        try:
            samples.count(row)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    missing = len(plan.jobs) - sum((0, job) in samples.done for job in range(len(plan.jobs)))
    if missing:
        raise ValueError(
            f"{path} must have every job of its plan; it lacks {missing} of {len(plan.jobs)}: let "
            "the build finish"
        )
    return Measurements(plan, samples)
