"""Count the runs of a program's translated blocks between two marks, under QEMU."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from latency.devices.apt import run_tool
from latency.devices.sysroot import PLAIN_FILES, Sysroot
from latency.emulator.cores import KIB, Core
from latency.emulator.tools import counter_plugin, plugin_qemu
from space.common.files import read_text
from space.common.schema import Anything, Integer, Items, Record, check, parse_json
from space.common.text import shorten

MOST = 10**17  # runs or accesses
COUNT_S = 3600.0  # the longest run of the emulator
RECORD = Record(
    {
        "label": Integer(0, MOST),
        "memory": Items(Integer(0, MOST), 5, 5),
        "blocks": Items(Items(Anything(), 2, 2), most=10_000_000),
    },
    required=("label", "memory", "blocks"),
)
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
            row = check(parse_json(line), RECORD)
            for pair in row["blocks"]:
                code, runs = pair
                right = isinstance(code, str) and code and len(code) % 8 == 0
                if not right or type(runs) is not int or not 0 <= runs <= MOST:
                    raise ValueError(f"must be instructions and a count; got {shorten(pair)}")
                blocks[bytes.fromhex(code)] += runs
            if row["label"] in regions:
                raise ValueError(f"a second one of {row['label']}")
        except ValueError as error:
            raise ValueError(f"line {number}: not a record of the counter ({error})") from None
        accesses, l1, l2, l3, sequential = row["memory"]
        regions[row["label"]] = Counts(blocks, (accesses, l1, l2, l3, sequential))
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
        words = [str(counter_plugin()), f"out={folder / 'counts'}", *caches]
        option = ",".join(word.replace(",", ",,") for word in words)  # as QEMU reads a comma
        command = made.command(core.name, WORKER, [str(path)], qemu=["-plugin", option])
        command[:1] = plugin_qemu().start
        run_tool(command, "the emulated worker", COUNT_S, env=made.environment())
        return _read_counts(folder / "counts", len(requests))


def _read_counts(path: Path, count: int) -> list[Counts]:
    """The counts of `count` networks; OSError if the plugin wrote others."""
    try:
        regions = parse_counts(read_text(path))
    except FileNotFoundError:
        regions = {}
    except ValueError as error:
        raise OSError(f"the counter's file: {error}") from None
    if missing := set(range(count)) - regions.keys():
        raise OSError(f"the counter must count {count} networks; {len(missing)} are missing")
    return [regions[label] for label in range(count)]


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
