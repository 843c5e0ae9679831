"""List every known network: `python -m space.zoo`."""

from __future__ import annotations

import argparse
import json
import sys


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m space.zoo",
        description="List every known network: FLOPs (multiply-adds of convolutions and linear "
        "layers) and parameters as counted here and as published, guidelines G1-G4, the source, "
        "and what the source leaves open.",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    options = parser.parse_args(arguments)
    from space.zoo.report import network_rows, network_table

    print(
        json.dumps(network_rows(), indent=2)
        if options.format == "json"
        else network_table(network_rows())
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
