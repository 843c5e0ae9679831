"""List every known network: `python -m space.zoo`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from space.common.cli import DONE, Parser, add_format, run_command


def parser() -> Parser:
    """The options."""
    result = Parser(
        prog="python -m space.zoo",
        description="List every known network: FLOPs (multiply-adds of convolutions and linear "
        "layers) and parameters as counted here and as published, guidelines G1-G4, the source, "
        "and what the source leaves open; then the top-1 on ImageNet of released weights.",
    )
    add_format(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parser().parse_args(arguments)

    def body() -> int:
        import json

        from space.zoo.report import format_networks, network_rows

        rows = network_rows()
        print(json.dumps(rows, indent=2) if options.format == "json" else format_networks(rows))
        return DONE

    return run_command("space.zoo", body)


if __name__ == "__main__":
    sys.exit(main())
