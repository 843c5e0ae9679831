"""Whether the paper's order of speed holds on a target: ShuffleNet v2, v1, then MobileNet v2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from search.comparison.rows import GROUPS, MEMBERS, PaperRow

# The claim of the ShuffleNet v2 paper (section 4, Table 8) at each of its complexity levels.
ORDER = ("ShuffleNet v2", "ShuffleNet v1", "MobileNet v2")


@dataclass(frozen=True, slots=True)
class SpeedOrder:
    """The order at one complexity level.

    Args:
        group: the level, in MFLOPs.
        gaps: by what share each network of `ORDER` takes longer than the one before; below 0 where
            the order does not hold.
        paper_gaps: the same of the paper's measurements, if the target is one of its devices.
    """

    group: int
    gaps: tuple[float, ...]
    paper_gaps: tuple[float, ...] | None

    @property
    def holds(self) -> bool:
        """Whether each network takes longer than the one before."""
        return min(self.gaps) > 0

    def record(self) -> dict[str, Any]:
        """The level for JSON."""
        level = {"mflops": self.group, "order": ORDER, "holds": self.holds}
        return {**level, "gaps": self.gaps, "paper_gaps": self.paper_gaps}


def speed_orders(rows: Sequence[PaperRow]) -> list[SpeedOrder]:
    """The levels at which all three networks are among the rows and have a latency."""
    by_name = {row.name: row for row in rows}
    found = []
    for index, group in enumerate(GROUPS):
        known = [by_name[n] for f in ORDER if (n := MEMBERS[f][index]) in by_name]
        gaps = _gaps([row.latency_s for row in known])
        if gaps is not None:
            found.append(SpeedOrder(group, gaps, _gaps([row.paper_s for row in known])))
    return found


def _gaps(seconds: Sequence[float | None]) -> tuple[float, ...] | None:
    """None if one of the three is missing."""
    known = [value for value in seconds if value is not None]
    if len(known) < len(ORDER):
        return None
    return tuple(after / before - 1 for before, after in pairwise(known))


def format_orders(found: Sequence[SpeedOrder]) -> list[str]:
    """Lines for people: at which levels the order holds, and by how much it fails elsewhere."""
    if not found:
        return []
    holds = ", ".join(f"{order.group}M" for order in found if order.holds)
    lines = [f"order of speed {' > '.join(ORDER)}: holds at {holds or 'no level'}"]
    for order in found:
        for i, gap in enumerate(order.gaps):
            if gap <= 0:
                line = f"{ORDER[i + 1]} takes {_words(gap)} time than {ORDER[i]}"
                if order.paper_gaps is not None:
                    line += f"; the paper measured {_words(order.paper_gaps[i])}"
                lines.append(f"  not at {order.group}M: {line}")
    return lines


def _words(gap: float) -> str:
    return f"{abs(gap):.1%} {'more' if gap > 0 else 'less'}"
