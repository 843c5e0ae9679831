"""Where do the closed form's constants come from? `python -m evaluator.calibrate`"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from space.common.cli import DONE, Parser, run_command


def parser() -> Parser:
    """The options of the command."""
    parser = Parser(
        prog="python -m evaluator.calibrate",
        description="Fit the closed form's constants to each half of Accel-NASBench. The first "
        "half's, rounded, are the defaults; the second half's show how far they can be trusted.",
    )
    parser.add_argument("--data", metavar="DIR", help="folder of tables (default: $G4NAS_DATA)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the constants fitted on each half as JSON; 0 done, 2 wrong usage or no data."""
    options = parser().parse_args(arguments)

    def body() -> int:
        import json

        from evaluator.benchmarks.calibration import fit_constants

        halves = {"fitted": 0, "other": 1}
        found = {name: fit_constants(options.data, half=half) for name, half in halves.items()}
        print(json.dumps(found, indent=1))
        return DONE

    return run_command("evaluator.calibrate", body)


if __name__ == "__main__":
    sys.exit(main())
