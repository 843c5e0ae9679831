"""The builder's raw times on disk: one JSON object a line, read back after a kill.

The first line identifies the measurement; each other line is a finished job.
"""

from __future__ import annotations

import lzma
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from latency.devices.session import Timed
from latency.measure.drift import TimedGroup
from space.common.files import check_regular
from space.common.jsonl import JsonLines
from space.common.schema import (
    Either,
    Integer,
    Items,
    Maybe,
    Number,
    Record,
    Text,
    check,
    parse_json,
)
from space.common.text import shorten
from space.network.block import Chain

Key = tuple[int, int]  # (pass, job)
MOST_BYTES = 500_000_000  # of samples: a full table of the CPU has 20 MB


def chain_text(chain: Chain) -> str:
    """A chain as one line: `block; 4 x block`."""
    words = [(str(block), len(list(same))) for block, same in groupby(chain)]
    return "; ".join(text if count == 1 else f"{count} x {text}" for text, count in words)


_SECONDS = Items(Items(Number(1e-12, 1e6), least=1), least=1, most=100_000)
_STATE = Record(
    {
        **dict.fromkeys(("frequency", "temperature", "throttled", "load"), Number()),
        **dict.fromkeys(("sm_clock_mhz", "temperature_c", "power_w"), Maybe(Number())),
        **dict.fromkeys(("throttle", "persistence"), Text()),
    }
)
_JOB = Record(
    {
        "pass": Integer(0, 1000),
        "job": Integer(0, 1_000_000),
        **dict.fromkeys(("wall_s", "device_s", "processor_s"), Number(0, 1e9)),
        "state": _STATE,
        "chains": Items(Text(longest=1_000_000)),
        "times": _SECONDS,
        "reference": _SECONDS,
    },
    required=("pass", "job", "wall_s", "times", "reference"),
)
_IDENTITY = Record({"device": Text()}, required=("device",))


class Samples:
    """The finished jobs of a build.

    `done`: {(pass, job): times}, rounded as on disk. Sums over the jobs: wall seconds here
    (`spent_s`), wall and processor seconds on the device (`device_s`, `processor_s`). `states`:
    the device's state after each job.

    Args:
        sizes: how many chains each job of the plan has; None: they are not checked.
    """

    def __init__(self, sizes: Sequence[int] | None = None) -> None:
        self.done: dict[Key, TimedGroup] = {}
        self.spent_s = self.device_s = self.processor_s = 0.0
        self.states: list[dict[str, Any]] = []
        self._sizes = sizes

    def count(self, row: Mapping[str, Any]) -> None:
        """Add a job as it is on disk.

        Raises:
            ValueError: its times are not those of a job of the plan.
        """
        times, reference, number = row["times"], row["reference"], row["job"]
        rounds, samples = {len(each) for each in times}, {len(each) for each in reference}
        if len(rounds) != 1 or samples not in (rounds, {1}):
            raise ValueError("`times` and `reference` must have as many rounds in every chain")
        if self._sizes is not None and not (
            number < len(self._sizes) and len(times) == self._sizes[number]
        ):
            raise ValueError(f"job {number} with {len(times)} chains is none of the plan")
        self.done[row["pass"], number] = TimedGroup(
            np.array(times, dtype=np.float64), np.array(reference, dtype=np.float64)
        )
        wall_s = float(row["wall_s"])
        self.spent_s += wall_s
        self.device_s += float(row.get("device_s", wall_s))
        self.processor_s += float(row.get("processor_s", wall_s))
        self.states.append(dict(row.get("state", {})))


class Journal(JsonLines, Samples):
    """The finished jobs of a build that goes on, as context manager.

    Args:
        identity: device, engine, plan and so on; those of an existing file must be equal.
        sizes: how many chains each job of the plan has; None: they are not checked.

    Raises:
        ValueError: the file has another identity, or a line is damaged.
        OSError: it cannot be written.
    """

    def __init__(
        self, path: Path, identity: Mapping[str, Any], sizes: Sequence[int] | None = None
    ) -> None:
        Samples.__init__(self, sizes)
        advice = "mend or delete it, or use --fresh"
        spec = Either((_IDENTITY, _JOB))
        JsonLines.__init__(self, path, what="the builder's journal", advice=advice, spec=spec)
        try:
            self._resume(identity)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def _resume(self, identity: Mapping[str, Any]) -> None:
        if not self.rows:
            self.append(identity)
            return
        first, *jobs = self.rows
        for name, value in identity.items():
            if first.get(name) != value:
                raise ValueError(
                    f"{self.path} was begun with {name} {shorten(first.get(name))}, this run has "
                    f"{value!r}: finish it with those settings, use another --out, or --fresh"
                )
        for number, row in enumerate(jobs, 2):
            try:
                self.count(check(row, _JOB))
            except ValueError as error:
                raise self.damaged(number, error) from None

    def add(
        self, key: Key, chains: tuple[Chain, ...], group: TimedGroup, timed: Timed, wall_s: float
    ) -> None:
        """Record a job that took `wall_s` seconds here.

        Raises:
            OSError: it cannot be written.
        """
        row = {
            "pass": key[0],
            "job": key[1],
            "wall_s": round(wall_s, 3),
            "device_s": round(timed.wall_s, 3),
            "processor_s": round(timed.processor_s, 3),
            "state": timed.state,
            "chains": list(map(chain_text, chains)),
            "times": [[float(f"{t:.5g}") for t in row] for row in group.times],
            "reference": [[float(f"{t:.5g}") for t in row] for row in group.reference],
        }
        self.append(row)
        self.count(row)


def read_samples(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The identity of a finished build and its jobs, as they are on disk, from its
    .samples.jsonl, which may be compressed (.xz).

    Raises:
        ValueError: damaged, unfinished or too large; the message has the file and the line.
        OSError: it cannot be read.
    """
    check_regular(path)
    rows: list[dict[str, Any]] = []
    try:
        with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise ValueError(f"{path}: damaged: {error}; fetch it again") from None
    if len(data) > MOST_BYTES:
        raise ValueError(f"{path}: must have at most {MOST_BYTES} bytes of samples")
    *lines, rest = data.split(b"\n")
    for number, line in enumerate([*lines, *[rest] * bool(rest)], 1):
        try:
            row = parse_json(line)
            rows.append(check(row, _JOB if rows else _IDENTITY))
        except ValueError as error:
            raise ValueError(
                f"{path}, line {number}: not a line of a build's samples ({error}); fetch it again"
            ) from None
    if len(rows) < 2:
        raise ValueError(f"{path}: must have samples; it has none")
    return rows[0], rows[1:]
