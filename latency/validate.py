"""How well does a table predict networks now? `python -m latency.validate --table T`"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from latency.builder.validation import SPACE, _text, validate_table


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m latency.validate",
        description="Measure random networks whole on the device that a table was measured on, "
        "interleaved, and compare them with what the table predicts.",
    )
    result.add_argument("--table", default="cpu", help="a table's name or path; default: cpu")
    result.add_argument("--device", default="cpu", help="where, as latency.build takes it (cpu)")
    result.add_argument("--networks", type=int, default=200, help="default: %(default)s")
    result.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    result.add_argument(
        "--family",
        default=SPACE,
        help="shufflenet_v2: networks of the search space (default); shufflenet_v1, xception, "
        "mobilenet_v1, mobilenet_v2, resnet: those at random widths",
    )
    result.add_argument(
        "--relax",
        action="append",
        default=[],
        choices=("g1", "g2", "g3", "g4"),
        help="networks of the space that may break this guideline",
    )
    result.add_argument("--out", type=Path, help="a CSV file for every network's seconds")
    result.add_argument("--format", choices=("table", "json"), default="table")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 no answer, 2 wrong usage."""
    args = parser().parse_args(arguments)
    from space.common.errors import MissingOpError

    try:
        found = validate_table(
            args.table,
            networks=args.networks,
            seed=args.seed,
            family=args.family,
            relax=args.relax,
            device=args.device,
            out=args.out,
        )
    except (ImportError, MissingOpError) as error:
        print(f"latency.validate: {error}", file=sys.stderr)
        return 1
    except (ValueError, FileNotFoundError) as error:
        print(f"latency.validate: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"latency.validate: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found, indent=2) if args.format == "json" else _text(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
