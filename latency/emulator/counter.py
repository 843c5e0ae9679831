"""How often a program's translated blocks run between two marks, counted under QEMU."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from latency.devices.sysroot import Sysroot
from latency.emulator.cores import Core, plain_files
from latency.emulator.tools import counter_plugin, plugin_qemu

RUNS = 2  # of each network; the one with fewer instructions counts
LABELS = 16  # marks are label * 16 + run
WORKER = Path(__file__).parent / "ncnn_worker.py"


@dataclass(frozen=True, slots=True)
class Job:
    """A network to count: its .param text, the image's (width, height, channels), options of
    ncnn that differ from its benchmark program's; whether the caches are overwritten before a
    run, as the rest of a network would."""

    param: str
    shape: tuple[int, int, int]
    options: Mapping[str, bool] = field(default_factory=dict)
    evict: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """What ran between two marks.

    `blocks`: {instructions' bytes: runs}; `accesses` to memory of at most 8 bytes; misses of each
    level of the core's simulated data caches (0 where there is none); `sequential`: those of the
    last level that came one line after another one.
    """

    blocks: Mapping[bytes, int]
    accesses: int = 0
    l1_misses: int = 0
    l2_misses: int = 0
    l3_misses: int = 0
    sequential: int = 0

    @property
    def instructions(self) -> int:
        return sum(len(code) // 4 * runs for code, runs in self.blocks.items())


def parse_counts(text: str) -> dict[int, Counts]:
    """The regions of the plugin's file (its records are described in counter.c), by their mark.

    Raises:
        ValueError: a record is malformed; the message has its line.
    """
    codes: dict[int, bytes] = {}
    regions: dict[int, Counts] = {}
    current: dict[bytes, int] | None = None
    mark = 0
    header: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        kind, *words = line.split()
        try:
            if kind == "d":
                codes[int(words[0])] = bytes.fromhex(words[1])
            elif kind == "r":
                (mark, *header), current = [int(word) for word in words], {}
                if len(header) != 5:
                    raise ValueError
            elif kind == "c" and current is not None:
                code = codes[int(words[0])]
                current[code] = current.get(code, 0) + int(words[1])
            elif kind == "e" and current is not None:
                regions[mark] = Counts(current, *header)
                current = None
            else:
                raise ValueError
        except (ValueError, KeyError, IndexError):
            raise ValueError(
                f"line {number}: not a record of the counter: {line[:60]!r}"
            ) from None
    return regions


def count_networks(
    jobs: Sequence[Job], core: Core, sysroot: Sysroot, *, runs: int = RUNS, timeout_s: float = 3600
) -> list[Counts]:
    """Run networks under the emulator, each once to warm up and then `runs` times; the run with
    the fewest instructions of each.

    Raises:
        OSError: the emulator or the worker failed; one line says how.
    """
    with tempfile.TemporaryDirectory(prefix="g4nas-count-") as name:
        folder = Path(name)
        spec: list[Any] = []
        for label, job in enumerate(jobs):
            path = folder / f"{label}.param"
            path.write_text(job.param)
            spec.append([label, str(path), list(job.shape), runs, dict(job.options), job.evict])
        (folder / "jobs.json").write_text(json.dumps(spec))
        made = _with_core_files(sysroot, core, folder)
        caches = [f"cache={size}:{ways}" for size, ways in core.caches]
        option = ",".join([str(counter_plugin()), f"out={folder / 'counts'}", *caches])
        command = made.command(
            core.qemu_cpu, WORKER, [str(folder / "jobs.json")], qemu=["-plugin", option]
        )
        command[:1] = plugin_qemu().start
        done = subprocess.run(
            command, env=made.environment(), capture_output=True, text=True, timeout=timeout_s
        )
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
            raise OSError(f"the emulated worker failed: {said[-1]}")
        regions = parse_counts((folder / "counts").read_text())
    found: list[Counts] = []
    for label in range(len(jobs)):
        tries = [regions[label * LABELS + run] for run in range(1, runs + 1)]
        found.append(min(tries, key=lambda counts: counts.instructions))
    return found


def _with_core_files(sysroot: Sysroot, core: Core, folder: Path) -> Sysroot:
    """The same sysroot with the /proc and /sys of a core: links to all but these."""
    root = folder / "root"
    root.mkdir()
    for entry in sysroot.root.iterdir():
        if entry.name not in ("proc", "sys"):
            (root / entry.name).symlink_to(entry.resolve())
    for name, text in plain_files(core).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return replace(sysroot, root=root)
