"""How many passes over all cases a measurement takes, and when they are enough.

Each pass prepares every chain anew, and what differs between passes is what an interval is made
of. Rounds of one pass do not show it: on an H200 a chain's medians differ by 0.6 % (standard
deviation) from one preparation to the next, its rounds by 0.1 %. So nothing but the passes
themselves can tell whether there are enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from latency.devices.session import Session
from latency.microbenchmarks.slowdown import Slowdown, of_table

PASSES = 6
QUIET_PASSES = 3  # the fewest of use: Student's t is 12.7 for two, 4.3 for three
TOLERANCE = 0.01  # half an interval, relative; 2 % tell "holds" from "holds, barely"
# No pass beyond the least begins that would end later than that after the first chain; with what
# comes before, a command then takes 90 s.
MOST_S = 80.0


@dataclass(frozen=True, slots=True)
class PassPlan:
    """From `least` to `most` passes, each of `rounds` rounds."""

    least: int
    most: int
    rounds: int

    @property
    def words(self) -> str:
        """As "3 to 6 x 10 rounds"."""
        count = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        return f"{count} x {self.rounds} rounds"


def on_accelerator(session: Session) -> bool:
    """Whether the session's engine runs on a GPU."""
    return "accelerator" in session.host_info


def plan_passes(rounds: int, adaptive: bool = False) -> PassPlan:
    """The passes that make at least `rounds` rounds.

    Args:
        adaptive: as few passes as the device's noise allows, for a device where it takes much
            longer to prepare a chain than to time it; else always `PASSES`.

    Raises:
        ValueError: fewer than 2 rounds, which have no spread.
    """
    if rounds < 2:
        raise ValueError(f"`rounds` must be at least 2, to estimate the noise; got {rounds}")
    least = min(QUIET_PASSES if adaptive else PASSES, rounds)
    return PassPlan(least, min(PASSES, rounds), math.ceil(rounds / least))


def half_interval(sweeps: Sequence[Sequence[Slowdown]]) -> float:
    """Half the 95 % interval, relative, of the median slow-down of some sweeps; their first rows,
    which others are compared with, have none.

    A rule that stops at the median profits little from the luck of a single row, so the intervals
    of all keep their 95 % (a test simulates it).
    """
    halves = [
        math.log(row.high / row.value)
        for sweep in sweeps
        for table in sorted({row.table for row in sweep})
        for row in of_table(sweep, table)[1:]
    ]
    return float(np.median(halves))


def stop_reason(sweeps: Sequence[Sequence[Slowdown]], done: int, spent_s: float) -> str:
    """Why passes stop after `done`, which took `spent_s` seconds and gave `sweeps`: "precision"
    or "time"; "" if they go on."""
    if half_interval(sweeps) <= TOLERANCE:
        return "precision"
    return "time" if spent_s * (done + 1) / done > MOST_S else ""
