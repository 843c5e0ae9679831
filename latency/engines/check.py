"""Whether engines give torch's outputs on this machine, and whether their times repeat."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from latency.engines.base import Engine
from latency.engines.comparison import CANNOT_RUN, engine_identity, row_words
from latency.engines.memory import engine_errors
from latency.engines.registry import ENGINES, get_engine
from latency.engines.testing import EXAMPLES, difference, run_and_expected, run_outputs
from latency.ondevice import host
from latency.ondevice.timing import time_rounds
from space.common.errors import EngineError
from space.network.block import Block

# A unit and a head come first, for engines that take seconds a block.
FIRST = tuple(map(Block.parse, (
    "shufflenet_v2@7x7 c_in=6 c_out=14 branch=6 stride=2 kernel=7",
    "head@4x3 c_in=6 c_out=8 classes=5",
)))  # fmt: skip
BLOCKS = tuple(dict.fromkeys((*FIRST, *map(Block.parse, EXAMPLES))))
NETWORK = tuple(map(Block.parse, (
    "stem@64x64 c_out=24",
    "shufflenet_v2@16x16 c_in=24 c_out=48 branch=24 stride=2",
    "shufflenet_v2@8x8 c_in=48 c_out=48 branch=24",
    "shufflenet_v2@8x8 c_in=48 c_out=96 branch=48 stride=2",
    "shufflenet_v2@4x4 c_in=96 c_out=96 branch=48",
    "head@4x4 c_in=96 c_out=256 classes=100",
)))  # fmt: skip
TOTAL_S = 25.0  # of all engines and dtypes, after which no further block is compared
SLOW_S = 2.0  # to prepare the network, from which on all runs are of the one that was prepared
REPEAT = 0.1  # the share by which the medians of two runs may differ
ROUNDS = 40  # of one run
TRIES = 4  # runs at most, until two that follow each other agree

Report = Callable[[int, int, str], object]


@dataclass
class Checked:
    """An engine in one dtype: what it is, what was compared, and what does not hold."""

    engine: str
    dtype: str
    facts: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """For JSON."""
        named = {"engine": self.engine, "dtype": self.dtype}
        return {**named, **self.facts, "wrong": self.wrong, "notes": self.notes}


def check_engines(
    names: Sequence[str] = (),
    *,
    threads: int = 1,
    batch: int = 1,
    report: Report = lambda done, total, title: None,
) -> dict[str, Any]:
    """Compare each engine with torch in each dtype: `NETWORK`, and `BLOCKS` one by one with two
    images; time `NETWORK` twice, each time prepared anew.

    An engine that cannot run here in any dtype fails if it is named.

    Args:
        names: of engines; none: all but null.
        batch: images in a run of the network.
        report: called with (steps done, all, what is done now).

    Returns:
        `chip`, `threads`, `batch`, `repeat` (the bound), and in `engines` a row per engine and
        dtype: what `engine_identity` returns or `missing`, `blocks` (compared) of `blocks_total`,
        `median_s` of the two runs, `wrong` and `notes`, a line each.

    Raises:
        ValueError: an unknown engine, or one without outputs.
    """
    if "null" in names:
        raise ValueError("the engine null computes no outputs: leave it out of --check")
    chosen = list(dict.fromkeys(names)) or [name for name in ENGINES if name != "null"]
    for name in chosen:
        if name not in ENGINES:
            get_engine(name)  # it says which are known
    rows = [Checked(name, dtype) for name in chosen for dtype in ENGINES[name].dtypes]
    opened: list[tuple[Checked, Engine]] = []
    for row in rows:
        try:
            engine = get_engine(row.engine, threads=threads, dtype=row.dtype)
            row.facts |= engine_identity(engine)
            opened.append((row, engine))
        except CANNOT_RUN as error:
            row.facts["missing"] = str(error)
    here = {row.engine for row, _ in opened}
    for row in rows:
        if names and row.engine not in here:
            row.wrong.append(f"cannot run here: {row.facts['missing']}")
    started = time.monotonic()
    for number, (row, engine) in enumerate(opened):
        now = time.monotonic()
        share = max(0.0, started + TOTAL_S - now) / (len(opened) - number)
        report(number, len(opened), f"checking {row.engine} {row.dtype}")
        try:
            with engine_errors(row.engine):
                _check(row, engine, batch, now + share)
        except EngineError as error:
            row.wrong.append(str(error).removeprefix(f"{row.engine} "))
        except (OSError, MemoryError, LookupError) as error:
            row.wrong.append(f"fails: {str(error).removeprefix(f'{row.engine}: ')}")
        report(number + 1, len(opened), f"checking {row.engine} {row.dtype}")
    return {
        "chip": host.chip(), "threads": threads, "batch": batch, "repeat": REPEAT,
        "engines": [row.row() for row in rows],
    }  # fmt: skip


def _check(row: Checked, engine: Engine, batch: int, until: float) -> None:
    """Fill the row of an engine that runs here; compare blocks until `time.monotonic()` is
    `until`."""
    started = time.monotonic()
    first, expected = run_and_expected(engine, NETWORK, batch)
    _note(row, "a network", run_outputs(first), expected)
    slow = time.monotonic() - started > SLOW_S

    def median_s() -> float:
        run = first if slow else engine.prepare(NETWORK, batch)
        times = list(time_rounds([run], engine, engine.clock, ROUNDS, [True]))
        return float(np.median(times))

    before = None if host.emulated() else median_s()
    row.facts |= {"blocks": 0, "blocks_total": len(BLOCKS)}
    for block in BLOCKS:
        run, wanted = run_and_expected(engine, [block])
        _note(row, str(block), run_outputs(run), wanted)
        row.facts["blocks"] += 1
        if time.monotonic() > until:
            break
    if before is None:
        row.notes.append("this machine is emulated: its wall time is not latency")
    else:
        _check_times(row, before, median_s)
    # A model that reads memory that is no longer its own is right at first.
    _note(row, "the first network, run once more after all others", run_outputs(first), expected)
    row.notes += _accelerator_notes(engine)


def _note(row: Checked, what: str, got: Any, expected: Any) -> None:
    if words := difference(got, expected, row.dtype):
        row.wrong.append(f"outputs of {what} {words}")


def _check_times(row: Checked, first: float, median_s: Callable[[], float]) -> None:
    """Take medians until two that follow each other agree within `REPEAT`."""
    taken = [first]
    for _ in range(TRIES - 1):
        taken.append(median_s())
        if max(taken[-2:]) <= (1 + REPEAT) * min(taken[-2:]):
            break
    else:
        times = ", ".join(f"{each * 1e3:.3f}" for each in taken)
        row.wrong.append(
            f"times do not repeat: medians of {len(taken)} runs are {times} ms, those of two in a "
            f"row differ by more than {REPEAT:.0%}: close other programs, or fix the clock"
        )
    row.facts["median_s"] = taken[-2:]


def _accelerator_notes(engine: Engine) -> list[str]:
    """What affects the times of an engine on a GPU."""
    if not hasattr(engine, "accelerator_info"):
        return []
    from latency.engines.torch.cuda_facts import capped, slowed

    state = engine.accelerator_info()
    found = [*slowed([state]), *capped(state)]
    if "sm_clock_mhz" not in state:
        found.append(
            "the GPU's clocks and load cannot be read: pip install nvidia-ml-py, or put "
            "nvidia-smi on PATH"
        )
    return found


def failures(found: dict[str, Any]) -> list[str]:
    """What does not hold in a result of `check_engines`, a line each for all dtypes."""
    dtypes: dict[tuple[str, str], list[str]] = {}
    for row in found["engines"]:
        for line in row["wrong"]:
            dtypes.setdefault((row["engine"], line), []).append(row["dtype"])
    return [f"{engine} {', '.join(each)} {line}" for (engine, line), each in dtypes.items()]


def format_checked(found: dict[str, Any]) -> str:
    """A result of `check_engines`, a line per engine and dtype, and below it what is wrong."""
    threads = f"{found['threads']} thread{'s' * (found['threads'] > 1)}"
    lines = [f"checked: {found['chip']}, {threads}, batch {found['batch']}"]
    head = f"{'engine':14} {'dtype':8} {'check':6} {'blocks':>7} {'ms':>8} {'again':>8}"
    lines.append(f"{head}  version")
    for row in found["engines"]:
        words = f"{row['engine']:14} {row['dtype']:8}"
        if "missing" in row:
            lines.append(f"{words} {row_words(row)}")
            continue
        blocks = f"{row['blocks']}/{row['blocks_total']}" if "blocks" in row else "-"
        first, again = (f"{t * 1e3:.3f}" for t in row["median_s"]) if "median_s" in row else "--"
        state = "wrong" if row["wrong"] else "ok"
        lines.append(f"{words} {state:6} {blocks:>7} {first:>8} {again:>8}  {row_words(row)}")
        lines += [f"  {line}" for line in (*row["wrong"], *row["notes"])]
    return "\n".join(lines)
