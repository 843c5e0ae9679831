"""The builder's raw times on disk: append-only, synced line by line, read back after a kill.

One JSON object a line. The first says who measures what; each other one is a job done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency.devices.session import Timed
from latency.measure.drift import TimedGroup
from space.network.block import Chain

Key = tuple[int, int]  # (pass, job)


def chain_text(chain: Chain) -> str:
    """A chain as one line: `block; 4 x block`."""
    words: list[tuple[str, int]] = []
    for block in chain:
        text = str(block)
        count = words.pop()[1] if words and words[-1][0] == text else 0
        words.append((text, count + 1))
    return "; ".join(text if count == 1 else f"{count} x {text}" for text, count in words)


class Journal:
    """Jobs that are done: {(pass, job): times as on disk}; their seconds of wall time here
    (`spent_s`) and on the device (`device_s`), of processor time there, and its states after them.

    Raises:
        ValueError: the file was begun by another host, engine or plan, or a line is damaged.
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.done: dict[Key, TimedGroup] = {}
        self.spent_s = 0.0
        self.device_s = 0.0
        self.processor_s = 0.0
        self.states: list[dict[str, Any]] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        try:
            self._read(dict(identity))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def _read(self, identity: dict[str, Any]) -> None:
        self._file.seek(0)
        data = self._file.read()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):  # killed while writing: that job is measured again
            self._file.truncate(len(whole))
        lines = whole.decode("utf-8", errors="replace").splitlines()
        if not lines:
            self._append(identity)
            return
        for number, line in enumerate(lines, 1):
            try:
                values = json.loads(line)
                if number > 1:
                    self.done[int(values["pass"]), int(values["job"])] = _visit(values)
                    self._count(values)
                elif not isinstance(values, dict):
                    raise ValueError("must be an object")
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{self.path}, line {number}: not a line of the builder's journal ({error}); "
                    "mend or delete it, or use --fresh"
                ) from None
            if number == 1:
                self._compare(values, identity)

    def _compare(self, found: dict[str, Any], wanted: dict[str, Any]) -> None:
        for name in wanted:
            if found.get(name) != wanted[name]:
                raise ValueError(
                    f"{self.path} was begun with {name} {found.get(name)!r}, this run has "
                    f"{wanted[name]!r}: finish it as it was begun, use another --out, or --fresh"
                )

    def _append(self, values: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(values).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _count(self, values: Mapping[str, Any]) -> None:
        wall_s = float(values["wall_s"])
        self.spent_s += wall_s
        self.device_s += float(values.get("device_s", wall_s))
        self.processor_s += float(values.get("processor_s", wall_s))
        self.states.append(dict(values.get("state", {})))

    def add(
        self, key: Key, chains: tuple[Chain, ...], visit: TimedGroup, timed: Timed, wall_s: float
    ) -> None:
        """Record a job that took `wall_s` seconds here."""
        values = {
            "pass": key[0],
            "job": key[1],
            "wall_s": round(wall_s, 3),
            "device_s": round(timed.wall_s, 3),
            "processor_s": round(timed.processor_s, 3),
            "state": timed.state,
            "chains": [chain_text(chain) for chain in chains],
            "times": _short(visit.times),
            "reference": _short(visit.reference),
        }
        self._append(values)
        self.done[key] = _visit(values)
        self._count(values)


def _short(times: NDArray[np.float64]) -> list[list[float]]:
    return [[float(f"{t:.5g}") for t in row] for row in times]


def _visit(values: Mapping[str, Any]) -> TimedGroup:
    """Raises ValueError, KeyError or TypeError if they are not of a job."""
    return TimedGroup(
        *(np.array(values[name], dtype=np.float64) for name in ("times", "reference"))
    )
