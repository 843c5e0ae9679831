"""How well a table predicts random networks that are measured now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latency.builder.random_networks import SPACE, random_networks
from latency.devices.open import open_session
from latency.measure.drift import REFERENCE
from latency.measure.network import Timings, is_of, time_networks
from latency.table.accuracy import Floats, error_summary, predictions
from latency.table.describe import format_error
from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable
from latency.table.load import load_table
from space.common.files import writable_folder, write_atomic
from space.common.progress import Progress
from space.network.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Errors of a table's predictions of `networks` networks, as `error_summary` has them.

    `unscaled`, `scaled`: without and with the table's scale factor, at the machine's speed now.
    With a table that knows the reference network's time when it was built, `drift` holds that time
    and today's, {"network", "then_s", "now_s"}, and `corrected` the errors at the speed of then,
    {"unscaled", "scaled"}: they are the table's own.
    """

    table: str
    label: str
    family: str
    relaxed: tuple[str, ...]
    networks: int
    seed: int
    scale: float
    unscaled: dict[str, Any]
    scaled: dict[str, Any]
    drift: dict[str, Any] | None = None
    corrected: dict[str, dict[str, Any]] | None = None

    def record(self) -> dict[str, Any]:
        """What `latency.validate --format json` prints."""
        return {
            "networks": self.networks,
            "within_5pct": self.unscaled["within_5pct"],
            "within_3pct_scaled": self.scaled["within_3pct"],
            "scale": self.scale,
            "mean_abs_error": self.unscaled["mean_abs_error"],
            "spearman": self.unscaled["spearman"],
            "family": self.family,
            "relaxed": list(self.relaxed),
            "seed": self.seed,
            "table": self.table,
            "latency": self.label,
            "unscaled": self.unscaled,
            "scaled": self.scaled,
            "pace": self.drift,
            "at_pace": self.corrected,
        }


def validate_table(
    target: str,
    *,
    networks: int = 200,
    seed: int = 0,
    family: str = SPACE,
    relax: Sequence[str] = (),
    device: str = "cpu",
    out: Path | None = None,
) -> Validation:
    """Measure random networks and compare them with a table's predictions.

    Args:
        target: a name or path, as `load_table` takes it.
        family, relax: which networks, as `random_networks` takes them.
        device: as `latency.devices.open.open_session` takes it.
        out: a CSV file of the seconds, a row for each network.

    Raises:
        ValueError: fewer than two networks, an unknown family, or a table that was not measured
            on this device.
        MissingOpError: the table lacks blocks of these networks.
        ImportError: the engine's package is not installed.
        OSError: the device is out of reach, or `out` cannot be written.

    Example:
        >>> import tempfile
        >>> from latency.builder.build import BuildConfig, Effort, Grid, build_table
        >>> grid, effort = Grid("few", stem=8, first=9, rest=12, head=9), Effort(max_passes=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     config = BuildConfig(engine="null", input="32x32", networks=2, out=f"{folder}/t")
        ...     _ = build_table(config, grid=grid, effort=effort, log=lambda line: None)
        ...     found = validate_table(f"{folder}/t.json", networks=2)
        >>> found.networks, found.drift["network"]
        (2, 'ShuffleNet v2 1.5x')
    """
    if networks < 2 or seed < 0:
        raise ValueError(f"--networks must be at least 2 and --seed 0; got {networks} and {seed}")
    table = load_table(target)
    header = table.header
    if not isinstance(table, LatencyTable) or header.source != "measured":
        raise ValueError(f"{target} must be a table measured on a device; it says {header.label}")
    chosen = random_networks(family, networks, seed, header.input_size, relax)
    unscaled = predictions(table.unscaled(), chosen)
    if out is not None:
        writable_folder(out.parent)
    timings = _measure(target, header, chosen, device)
    scale, then_s = float(header.scale["factor"]), header.noise.get("reference_s")
    measured = timings.seconds()
    drift = corrected = at_then = None
    if then_s is not None:
        now_s = float(f"{timings.reference_s:.5g}")
        drift = {"network": REFERENCE, "then_s": then_s, "now_s": now_s}
        at_then = timings.seconds(then_s)
        corrected = {
            "unscaled": error_summary(unscaled, at_then),
            "scaled": error_summary(unscaled * scale, at_then),
        }
    if out is not None:
        _write_rows(out, chosen, unscaled, scale, measured, at_then)
    return Validation(
        table=header.target,
        label=header.label,
        family=family,
        relaxed=tuple(relax),
        networks=networks,
        seed=seed,
        scale=scale,
        unscaled=error_summary(unscaled, measured),
        scaled=error_summary(unscaled * scale, measured),
        drift=drift,
        corrected=corrected,
    )


def _measure(
    target: str, header: TableHeader, networks: Sequence[Network], device: str
) -> Timings:
    """Time networks on the device that a table is of; ValueError if it is another."""
    with open_session(
        device, header.engine, threads=header.threads, dtype=header.dtype
    ) as session:
        if not is_of(header, session):
            raise ValueError(
                f"{target} must be a table measured on {session.where}; it says {header.label}"
            )
        with Progress("", lines="timings") as bar:
            return time_networks(
                session,
                networks,
                batch=header.batch,
                report=lambda title, done, total: bar.update(done, total, title=title),
            )


def _write_rows(
    out: Path,
    networks: Sequence[Network],
    unscaled: Floats,
    scale: float,
    measured: Floats,
    corrected: Floats | None,
) -> None:
    import pandas as pd

    columns: dict[str, Any] = {
        "network": [network.name for network in networks],
        "flops": [network.flops for network in networks],
        "predicted_s": unscaled,
        "scaled_s": unscaled * scale,
        "measured_s": measured,
    }
    if corrected is not None:
        columns["measured_at_pace_s"] = corrected
    text = pd.DataFrame(columns).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_atomic(out, text)


def format_validation(found: Validation) -> str:
    """A validation as lines for people."""
    lines = [
        f"{found.networks} random networks ({found.family}), seed {found.seed}, "
        f"table {found.table}"
    ]
    rows = [("nothing fitted", found.unscaled), ("its scale", found.scaled)]
    if found.corrected is not None:
        rows.append(("at its pace", found.corrected["unscaled"]))
        rows.append(("  and its scale", found.corrected["scaled"]))
    lines += [f"{name:15} {format_error(row, digits=1)}" for name, row in rows]
    if found.drift is not None:
        name, then_s, now_s = (found.drift[key] for key in ("network", "then_s", "now_s"))
        lines.append(
            f"pace: {name} usually took {now_s * 1e3:.3g} ms now, {then_s * 1e3:.3g} ms when "
            f"the table was built ({now_s / then_s - 1:+.1%}); `at its pace`: every time over "
            "that network's of the same round"
        )
    return "\n".join(lines)
