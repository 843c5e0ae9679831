"""python -m latency.validate: how well a table predicts networks that are measured now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from space.common.cli import Parser, add_format, run_command
from space.common.errors import NoAnswerError


def parser() -> Parser:
    p = Parser(
        prog="python -m latency.validate",
        description="Measure random networks whole on the device that a table was measured on, "
        "interleaved, and compare them with what the table predicts.",
    )
    p.add_argument("--table", default="cpu", help="a table's name or path; default: cpu")
    p.add_argument("--device", default="cpu", help="where, as latency.build takes it (cpu)")
    p.add_argument("--networks", type=int, default=200, help="default: %(default)s")
    p.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    p.add_argument(
        "--family",
        default="shufflenet_v2",
        help="shufflenet_v2: networks of the search space (default); shufflenet_v1, xception, "
        "mobilenet_v1, mobilenet_v2, resnet: those at random widths",
    )
    p.add_argument(
        "--relax",
        action="append",
        default=[],
        choices=("g1", "g2", "g3", "g4"),
        help="networks of the space that may break this guideline",
    )
    p.add_argument("--out", type=Path, help="a CSV file for every network's seconds")
    add_format(p)
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: see `space.common.cli.run_command`."""
    args = parser().parse_args(arguments)

    def body() -> int:
        from latency.builder.validation import format_validation, validate_table

        options = dict(vars(args))
        as_json = options.pop("format") == "json"
        found = validate_table(options.pop("table"), **options)
        print(json.dumps(found, indent=2) if as_json else format_validation(found))
        if found["verdict"]["holds"] is False:
            raise NoAnswerError(f"the table does not hold: {found['verdict']['advice']}")
        return 0

    return run_command("latency.validate", body)


if __name__ == "__main__":
    raise SystemExit(main())
