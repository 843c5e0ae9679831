"""Count the runs of a program's translated blocks between two marks, under QEMU."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from latency.devices.sysroot import PLAIN_FILES, Sysroot
from latency.emulator.cores import KIB, Core
from latency.emulator.tools import counter_plugin, plugin_qemu

WORKER = Path(__file__).parent / "ncnn_worker.py"


@dataclass(frozen=True, slots=True)
class CountRequest:
    """A network to count.

    `param`: the text of its .param file. `shape`: the image's (width, height, channels). `flops`:
    its multiply-adds, from which the expected time follows. `evict`: overwrite the caches before
    the run, as the rest of a network would, in place of a run to warm up.
    """

    param: str
    shape: tuple[int, int, int]
    flops: int
    evict: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """The blocks that ran between two marks, and their memory accesses.

    `blocks`: {instructions' bytes: runs}. `memory`: accesses, misses of three levels of cache, and
    sequential misses, as in `latency.emulator.estimator.Work`.
    """

    blocks: Mapping[bytes, int]
    memory: tuple[int, ...]

    @property
    def instructions(self) -> int:
        """Instructions that ran."""
        return sum(len(code) // 4 * runs for code, runs in self.blocks.items())


def parse_counts(text: str) -> dict[int, Counts]:
    """{mark: counts} from the plugin's file, whose lines counter.c describes.

    Raises:
        ValueError: a line is malformed; the message has its number.
    """
    regions: dict[int, Counts] = {}
    for number, line in enumerate(text.splitlines(), 1):
        blocks: Counter[bytes] = Counter()
        try:
            row = json.loads(line)
            for code, runs in row["blocks"]:
                blocks[bytes.fromhex(code)] += runs
            accesses, l1, l2, l3, sequential = row["memory"]
            regions[row["label"]] = Counts(blocks, (accesses, l1, l2, l3, sequential))
        except (ValueError, KeyError, TypeError):
            message = f"line {number}: not a record of the counter: {line[:60]!r}"
            raise ValueError(message) from None
    return regions


def count_networks(requests: Sequence[CountRequest], core: Core, sysroot: Sysroot) -> list[Counts]:
    """Count one run of each network in a process of the emulator.

    Raises:
        OSError: the emulator or the worker failed; one line says how.
    """
    with tempfile.TemporaryDirectory(prefix="g4nas-count-") as name:
        folder = Path(name)
        jobs = []
        for label, request in enumerate(requests):
            path = folder / f"{label}.param"
            path.write_text(request.param)
            jobs.append([label, str(path), request.shape, request.evict])
        path = folder / "jobs.json"
        path.write_text(json.dumps(jobs))
        made = _with_core_files(sysroot, core, folder)
        caches = [f"cache={size}:{ways}" for size, ways in core.caches]
        option = ",".join([str(counter_plugin()), f"out={folder / 'counts'}", *caches])
        command = made.command(core.name, WORKER, [str(path)], qemu=["-plugin", option])
        command[:1] = plugin_qemu().start
        done = subprocess.run(
            command, env=made.environment(), capture_output=True, text=True, timeout=3600
        )
        if done.returncode != 0:
            output = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
            raise OSError(f"the emulated worker failed: {output[-1]}")
        regions = parse_counts((folder / "counts").read_text())
    return [regions[label] for label in range(len(requests))]


def plain_files(core: Core) -> dict[str, str]:
    """{path: text} of the files in /proc and /sys by which engines choose kernels and tiles."""
    cpu = "sys/devices/system/cpu"
    cpuinfo = (
        "processor\t: 0\nmodel name\t: QEMU user mode\nBogoMIPS\t: 108.00\n"
        f"Features\t: {core.features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        f"CPU variant\t: 0x0\nCPU part\t: {core.part}\nCPU revision\t: 3\n\n"
    )
    files = {**PLAIN_FILES, "proc/cpuinfo": cpuinfo}
    caches = [(1, "Instruction", 48 * KIB)]
    for level, (size, _) in enumerate(core.caches, 1):
        caches.append((level, "Data" if level == 1 else "Unified", size))
    for index, (level, kind, size) in enumerate(caches):
        values = {"level": level, "type": kind, "size": f"{size // KIB}K", "shared_cpu_map": 1}
        for name, value in values.items():
            files[f"{cpu}/cpu0/cache/index{index}/{name}"] = f"{value}\n"
    return files


def _with_core_files(sysroot: Sysroot, core: Core, folder: Path) -> Sysroot:
    """The sysroot with the /proc and /sys of a core, and links to all its other folders."""
    root = folder / "root"
    root.mkdir()
    for entry in sysroot.root.iterdir():
        if entry.name not in ("proc", "sys"):
            (root / entry.name).symlink_to(entry.resolve())
    for name, text in plain_files(core).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return replace(sysroot, root=root)
