"""How well does a table predict random networks that are measured now?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from space.network.network import Network

SPACE = "shufflenet_v2"


def validate_table(
    target: str,
    *,
    networks: int,
    seed: int,
    family: str = SPACE,
    relax: Sequence[str] = (),
    device: str = "cpu",
    out: Path | None = None,
) -> dict[str, Any]:
    """Errors of the table's predictions, without and with its own one scale factor; and the pace
    of the machine now against when the table was built (latency/measure/drift.py), with the errors
    at the pace of that time: what is left of them is the table's. A table that was built before
    builds recorded a pace has none.

    Args:
        out: a CSV file for what the errors are of, a row for each network.

    Raises:
        ValueError: fewer than two networks, an unknown family, or a table that was not measured
            on this device.
        MissingOpError: the table has not the blocks of these networks.
    """
    from latency.devices.open import open_session
    from latency.measure.drift import REFERENCE
    from latency.measure.network import is_of, time_networks
    from latency.table.accuracy import error_summary, predictions
    from latency.table.latency_table import LatencyTable
    from latency.table.load import load_table
    from space.common.progress import Progress

    if networks < 2 or seed < 0:
        raise ValueError(f"--networks must be at least 2 and --seed 0; got {networks} and {seed}")
    table = load_table(target)
    header = table.header
    if not isinstance(table, LatencyTable) or header.source != "measured":
        raise ValueError(f"{target} must be a table measured on a device; it says {header.label}")
    chosen = random_networks(family, networks, seed, header.input_size, relax)
    unscaled = predictions(table.unscaled(), chosen)
    with open_session(
        device, header.engine, threads=header.threads, dtype=header.dtype
    ) as session:
        if not is_of(header, session):
            raise ValueError(
                f"{target} must be a table measured on {session.where}; it says {header.label}"
            )
        with Progress("", lines="timings") as bar:
            timings = time_networks(
                session,
                chosen,
                batch=header.batch,
                report=lambda title, done, total: bar.update(done, total, title=title),
            )
    measured, then_s = timings.seconds(), header.noise.get("reference_s")
    scale = float(header.scale["factor"])
    plain, scaled = error_summary(unscaled, measured), error_summary(unscaled * scale, measured)
    pace = at_pace = None
    columns = {
        "network": [network.name for network in chosen],
        "flops": [network.flops for network in chosen],
        "predicted_s": unscaled,
        "scaled_s": unscaled * scale,
        "measured_s": measured,
    }
    if then_s is not None:
        pace = {"network": REFERENCE, "then_s": then_s, "now_s": float(f"{timings.usual_s:.5g}")}
        columns["measured_at_pace_s"] = at = timings.seconds(then_s)
        at_pace = {
            "unscaled": error_summary(unscaled, at),
            "scaled": error_summary(unscaled * scale, at),
        }
    if out is not None:
        import pandas as pd

        from space.common.files import write_atomic

        frame = pd.DataFrame(columns)
        write_atomic(out, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    return {
        "networks": networks,
        "within_5pct": plain["within_5pct"],
        "within_3pct_scaled": scaled["within_3pct"],
        "scale": scale,
        "mean_abs_error": plain["mean_abs_error"],
        "spearman": plain["spearman"],
        "family": family,
        "relaxed": list(relax),
        "seed": seed,
        "table": header.target,
        "latency": header.label,
        "unscaled": plain,
        "scaled": scaled,
        "pace": pace,
        "at_pace": at_pace,
    }


def random_networks(
    family: str, count: int, seed: int, size: tuple[int, int], relax: Sequence[str] = ()
) -> list[Network]:
    """`count` networks of a family on images of `size` (height, width).

    Raises:
        ValueError: an unknown family, or a relaxed one of other networks than the space's.
    """
    import numpy as np

    from latency.builder.random_networks import VARIANTS, variants
    from space.architectures.shufflenet_v2 import ShuffleNetV2Space

    if family == SPACE:
        space = ShuffleNetV2Space(height=size[0], width=size[1]).relaxed(relax)
        rows = space.sample(count, np.random.default_rng(seed))
        return [space.lower(space.architecture(row)) for row in rows]
    if family not in VARIANTS:
        known = ", ".join((SPACE, *VARIANTS))
        raise ValueError(f"--family must be one of {known}; got {family!r}")
    if relax:
        raise ValueError(f"--relax is for the search space alone; got --family {family}")
    return variants(family, count, seed, *size)


def _text(found: dict[str, Any]) -> str:
    lines = [
        f"{found['networks']} random networks ({found['family']}), seed {found['seed']}, "
        f"table {found['table']}"
    ]
    rows = [("nothing fitted", found["unscaled"]), ("its scale", found["scaled"])]
    if found["at_pace"] is not None:
        rows.append(("at its pace", found["at_pace"]["unscaled"]))
        rows.append(("  and its scale", found["at_pace"]["scaled"]))
    for name, row in rows:
        lines.append(
            f"{name:15} mean error {row['mean_abs_error']:.1%}, largest "
            f"{row['max_abs_error']:.1%}, bias {row['bias']:+.1%}, within 5 % "
            f"{row['within_5pct']:.1%}, within 3 % {row['within_3pct']:.1%}, Spearman "
            f"{row['spearman']:.4f}"
        )
    if found["pace"] is not None:
        name, then_s, now_s = (found["pace"][key] for key in ("network", "then_s", "now_s"))
        lines.append(
            f"pace: {name} usually took {now_s * 1e3:.3g} ms now, {then_s * 1e3:.3g} ms when "
            f"the table was built ({now_s / then_s - 1:+.1%}); `at its pace`: every time over "
            "that network's of the same round"
        )
    return "\n".join(lines)
