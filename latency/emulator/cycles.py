"""Cycles of a translated block of instructions on a core, by LLVM's machine code analyser.

Cycles are those of the steady state: of 40 more runs of the block in a row, over 40. Results are
stored in a database by the block's bytes, since blocks repeat across networks.
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from latency.emulator.cores import Core
from latency.emulator.tools import Program, llvm_tool
from space.common.files import cache_dir

RUNS = 40
SHARE = 0.995  # of a region's instructions, in the blocks that are analysed
BLOCKS_PER_CALL = 400
MARKED = re.compile(r"^\[\d+\] Code Region - b(\d+)$", re.MULTILINE)
TOTAL = re.compile(r"^Total Cycles:\s+(\d+)$", re.MULTILINE)


class CycleTable:
    """Cycles of blocks on one core, from the database or else from LLVM.

    Raises:
        OSError: LLVM is missing or fails.
    """

    def __init__(self, core: Core, path: Path | None = None) -> None:
        self.core = core
        self.llvm = llvm_tool("llvm-mca").version
        path = path or cache_dir() / "cycles.sqlite"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._known = sqlite3.connect(path, timeout=60)
        with self._known:
            self._known.execute(
                "CREATE TABLE IF NOT EXISTS cycles (model TEXT, code BLOB, cycles REAL, "
                "PRIMARY KEY (model, code)) WITHOUT ROWID"
            )
        self._model = f"llvm {self.llvm} {core.mca_cpu} {core.mca_features} {RUNS}"
        self._memory: dict[bytes, float] = {}

    def close(self) -> None:
        """Close the database."""
        self._known.close()

    def cycles(self, codes: Iterable[bytes]) -> dict[bytes, float]:
        """Steady-state cycles of each block."""
        needed = set(codes)
        for code in needed - self._memory.keys():
            row = self._known.execute(
                "SELECT cycles FROM cycles WHERE model = ? AND code = ?", (self._model, code)
            ).fetchone()
            if row:
                self._memory[code] = row[0]
        missing = sorted(needed - self._memory.keys())
        for i in range(0, len(missing), BLOCKS_PER_CALL):
            some = missing[i : i + BLOCKS_PER_CALL]
            found = dict(zip(some, self._analyse(some), strict=True))
            with self._known:
                self._known.executemany(
                    "INSERT OR REPLACE INTO cycles VALUES (?, ?, ?)",
                    [(self._model, code, value) for code, value in found.items()],
                )
            self._memory |= found
        return {code: self._memory[code] for code in needed}

    def total(self, counts: Mapping[bytes, int]) -> float:
        """Cycles of {block: runs}. The blocks with `SHARE` of the instructions are analysed; the
        others are assumed to need as many cycles an instruction."""
        weight = {code: len(code) // 4 * runs for code, runs in counts.items()}
        everything, done = sum(weight.values()), 0
        chosen: list[bytes] = []
        for code in sorted(weight, key=lambda code: (-weight[code], code)):
            if done >= SHARE * everything:
                break
            chosen.append(code)
            done += weight[code]
        found = self.cycles(chosen)
        return sum(found[code] * counts[code] for code in chosen) * everything / max(done, 1)

    def _analyse(self, codes: Sequence[bytes]) -> list[float]:
        text = self._assembly(codes)
        short, long = (self._totals(text, count, len(codes)) for count in (RUNS, 2 * RUNS))
        return [(b - a) / RUNS for a, b in zip(short, long, strict=True)]

    def _assembly(self, codes: Sequence[bytes]) -> str:
        """The blocks as assembly, each between the analyser's marks."""
        tool = llvm_tool("llvm-mc")
        flags = [f"-mcpu={self.core.mca_cpu}", f"-mattr={self.core.mca_features}"]
        words = "\n".join(" ".join(f"0x{b:02x}" for b in code) for code in codes)
        done = _run(tool, ["--disassemble", "-triple=aarch64", *flags], words)
        lines = [line for line in done.splitlines() if line.startswith("\t")]
        lines = [line for line in lines if not line.startswith("\t.")]
        if len(lines) != sum(len(code) // 4 for code in codes):
            raise OSError(
                f"llvm-mc gave {len(lines)} instructions for {sum(map(len, codes)) // 4}: "
                "the blocks have instructions that it does not know"
            )
        out: list[str] = []
        at = 0
        for number, code in enumerate(codes):
            part = lines[at : at + len(code) // 4]
            at += len(part)
            out += [f"# LLVM-MCA-BEGIN b{number}", *part, f"# LLVM-MCA-END b{number}"]
        return "\n".join(out) + "\n"

    def _totals(self, text: str, runs: int, count: int) -> list[int]:
        tool = llvm_tool("llvm-mca")
        flags = ["-mtriple=aarch64", f"-mcpu={self.core.mca_cpu}"]
        flags += [f"-mattr={self.core.mca_features}", f"-iterations={runs}"]
        flags += ["-instruction-info=0", "-resource-pressure=0"]
        flags += ["-skip-unsupported-instructions=lack-sched"]  # reads of system registers
        return region_totals(_run(tool, flags, text), count)


def region_totals(report: str, count: int) -> list[int]:
    """Total cycles of each region of llvm-mca's report, in the regions' order.

    Raises:
        OSError: a region is missing.
    """
    names = [int(name) for name in MARKED.findall(report)]
    totals = dict(zip(names, map(int, TOTAL.findall(report)), strict=True))
    lost = set(range(count)) - totals.keys()
    if lost:
        raise OSError(f"llvm-mca gave no cycles for {len(lost)} of {count} blocks")
    return [totals[i] for i in range(count)]


def _run(tool: Program, flags: Sequence[str], text: str) -> str:
    done = subprocess.run(
        [*tool.start, *flags], input=text, capture_output=True, text=True, timeout=600
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        errors = [line for line in lines if "error:" in line] or lines
        raise OSError(f"{Path(tool.start[-1]).name} failed: {errors[0]}")
    return done.stdout
