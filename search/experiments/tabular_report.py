"""The comparison of samplers on a table of trained networks, as text and as a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.result.picture import new_figure, wrapped
from space.common.files import write_atomic
from space.common.text import print_rich, rich_table


def print_tabular(found: Mapping[str, Any]) -> None:
    """Print what `compare_tabular` returns: a line for each sampler."""
    points = list(found["samplers"][0]["at"])
    for name, digits in (("rank", 1), ("regret", 3)):
        rows = [
            [
                each["sampler"],
                str(each["seeds"]),
                *(f"{each['at'][point][name]:.{digits}f}" for point in points),
                f"{each['seconds']:.2f}",
            ]
            for each in found["samplers"]
        ]
        headings = ["sampler", "seeds", *(f"@{point}" for point in points), "s/eval"]
        print_rich(rich_table(headings, rows, title=f"{name}: {_title(found)}"))
    print_rich(
        "@N: after N evaluations, mean over the seeds. rank: of the best network found, among the "
        f"{found['feasible']:,} feasible ones; 1 is the best. regret: how far its value is from "
        f"{found['best']:g}, the best. s/eval: seconds of the sampler for each evaluation"
    )


def write_tabular(found: Mapping[str, Any], result: Path, picture: Path) -> None:
    """Write the record as JSON, and a picture of the mean regret.

    Raises:
        OSError: a file cannot be written.
    """
    write_atomic(result, json.dumps(found, indent=1) + "\n")
    with new_figure(picture, (8, 5)) as figure:
        axes = figure.add_subplot()
        for each in found["samplers"]:
            evaluations = range(1, len(each["regret"]) + 1)
            seeds = f"{each['sampler']} ({each['seeds']} seeds)"
            axes.plot(evaluations, [value or math.nan for value in each["regret"]], label=seeds)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel("evaluations; a line ends where every seed has found the best network")
        axes.set_ylabel(wrapped(f"mean regret of {found['value']}", 60))
        axes.set_title(wrapped(_title(found), 90), fontsize=10)
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=9, loc="upper right")


def _title(found: Mapping[str, Any]) -> str:
    limit = "" if found["limit"] is None else f", {found['cost']} <= {found['limit']:g}"
    return f"{found['file']}: {found['value']}{limit}"
