"""Does the search find the paper's answer by itself? `python -m search.reproduce`

First only the paper's own axis is open: widths that double per stage, with depths 4, 8, 4, split
1/2, kernel 3, stem 24 and the head of Table 5. Given a FLOPs budget and G1-G4, the search must
return Table 5's widths; nothing tells it them. Then the whole space is open, and the best found is
compared with ShuffleNet v2 at the same budget.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from search.experiments.reproduction import BUDGETS, PAPER_TRIALS, _print, full_space, paper_axis
from search.optimizer.sampler_names import SAMPLERS
from space.common.cli import DONE, NO_ANSWER, Parser, log, run_command


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = Parser(
        prog="python -m search.reproduce",
        description="Recover the widths of the paper's Table 5 from its FLOPs budgets, then see "
        "how far the whole space gets beyond them.",
    )
    result.add_argument("--target", default="arm", help="default: %(default)s")
    result.add_argument("--seeds", type=int, default=10, help="for the paper's axis; default 10")
    result.add_argument("--full-seeds", type=int, default=3, help="for the whole space; default 3")
    result.add_argument("--trials", type=int, default=500, help="for the whole space; default 500")
    result.add_argument(
        "--sampler",
        default="prescreened",
        choices=SAMPLERS,
        help="default: %(default)s",
    )
    result.add_argument("--format", choices=("table", "json"), default="table")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 if some seed did not recover the paper's widths."""
    args = parser().parse_args(argv)
    return run_command("search.reproduce", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from search.problem.target import target_table
    from search.result.record import provenance

    if min(args.seeds, args.trials) < 1 or args.full_seeds < 0:
        raise ValueError("--seeds and --trials must be at least 1, --full-seeds at least 0")
    table = target_table(args.target)
    paper, full = [], []
    for budget, head in BUDGETS.items():
        log(f"{budget}: the paper's axis, {args.seeds} seeds")
        paper.append(paper_axis(table, budget, head, args.seeds, args.sampler))
        if args.full_seeds:
            log(f"{budget}: the whole space, {args.full_seeds} seeds of {args.trials} trials")
            full.append(full_space(table, budget, args.full_seeds, args.trials, args.sampler))
    header = table.header
    if args.format == "json":
        found = {
            "paper_axes": paper,
            "full_space": full,
            "latency": {"target": header.target, "source": header.source},
            "sampler": args.sampler,
            "trials": {"paper_axes": PAPER_TRIALS, "full_space": args.trials},
            **provenance(),
        }
        print(json.dumps(found, indent=2))
    else:
        _print(paper, full, header)
    return DONE if all(row["recovered"] == row["seeds"] for row in paper) else NO_ANSWER


if __name__ == "__main__":
    sys.exit(main())
