"""Where do the closed form's constants come from? `python -m evaluator.calibrate`

Least squares on one half of Accel-NASBench: accuracy against the score's terms, with a free
offset, slope and squeeze-and-excite effect per stage (the score has no such unit). `depth_cost`
is not free: it follows from `depth`, `carried` and the published best depth (`best_depth`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from evaluator.benchmarks.calibration import fit


def main(argv: Sequence[str] | None = None) -> int:
    """Print the constants fitted on each half as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluator.calibrate",
        description="Fit the closed form's constants to each half of Accel-NASBench. The first "
        "half's, rounded, are the defaults; the second half's show how far they can be trusted.",
    )
    parser.add_argument("--data", metavar="DIR")
    args = parser.parse_args(argv)
    from space.common.errors import MissingDataError

    try:
        found = {name: fit(args.data, half=half) for half, name in enumerate(("fitted", "other"))}
    except MissingDataError as error:
        print(f"evaluator.calibrate: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
