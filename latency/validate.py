"""How well does a table predict networks now? `python -m latency.validate --table T`"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m latency.validate",
        description="Measure random networks of the space whole on this machine, interleaved, and "
        "compare them with what a table measured on it predicts.",
    )
    result.add_argument("--table", default="cpu", help="a table's name or path; default: cpu")
    result.add_argument("--networks", type=int, default=200, help="default: %(default)s")
    result.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    result.add_argument("--format", choices=("table", "json"), default="table")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 an engine is missing, 2 wrong usage."""
    args = parser().parse_args(arguments)
    try:
        found = validate(args.table, networks=args.networks, seed=args.seed)
    except (ValueError, FileNotFoundError) as error:
        print(f"latency.validate: {error}", file=sys.stderr)
        return 2
    except ImportError as error:
        print(f"latency.validate: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found, indent=2) if args.format == "json" else _text(found))
    return 0


def validate(target: str, *, networks: int, seed: int) -> dict[str, Any]:
    """Errors of the table's predictions, without and with its own one scale factor.

    Raises:
        ValueError: fewer than two networks, or a table that was not measured on this machine.
    """
    import numpy as np

    from latency.check import error_summary, predictions
    from latency.table import LatencyTable, load_table
    from latency.whole import is_of_this_machine, measure_networks
    from space.shufflenet_v2 import ShuffleNetV2Space

    if networks < 2 or seed < 0:
        raise ValueError(f"--networks must be at least 2 and --seed 0; got {networks} and {seed}")
    table = load_table(target)
    header = table.header
    if not isinstance(table, LatencyTable) or not is_of_this_machine(header):
        raise ValueError(
            f"{target} must be a table measured on this machine; it says {header.label}"
        )
    space = ShuffleNetV2Space()
    rows = space.sample(networks, np.random.default_rng(seed))
    chosen = [space.lower(space.architecture(row)) for row in rows]
    measured = measure_networks(
        chosen, engine=header.engine, threads=header.threads, batch=header.batch
    )
    unscaled = predictions(table.unscaled(), chosen)
    scale = float(header.scale["factor"])
    plain, scaled = error_summary(unscaled, measured), error_summary(unscaled * scale, measured)
    return {
        "networks": networks,
        "within_5pct": plain["within_5pct"],
        "within_3pct_scaled": scaled["within_3pct"],
        "scale": scale,
        "mean_abs_error": plain["mean_abs_error"],
        "spearman": plain["spearman"],
        "seed": seed,
        "table": header.target,
        "unscaled": plain,
        "scaled": scaled,
    }


def _text(found: dict[str, Any]) -> str:
    lines = [f"{found['networks']} random networks, seed {found['seed']}, table {found['table']}"]
    for name, row in (("nothing fitted", found["unscaled"]), ("its scale", found["scaled"])):
        lines.append(
            f"{name:15} mean error {row['mean_abs_error']:.1%}, largest "
            f"{row['max_abs_error']:.1%}, bias {row['bias']:+.1%}, within 5 % "
            f"{row['within_5pct']:.1%}, within 3 % {row['within_3pct']:.1%}, Spearman "
            f"{row['spearman']:.4f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
