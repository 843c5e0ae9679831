"""Cycles of a translated block of instructions on a core, by LLVM's machine code analyser.

Cycles are those of the steady state: of 40 more runs of the block in a row, over 40. Results are
stored in a database by the block's bytes, since blocks repeat across networks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from latency.devices.apt import run_tool
from latency.emulator.cores import Core
from latency.emulator.database import ResultStore
from latency.emulator.tools import llvm_tool

RUNS = 40
SHARE = 0.995  # of a region's instructions, in the blocks that are analysed
BLOCKS_PER_CALL = 400
MOST_CYCLES = 1e9  # of a run of a block
TOTAL = re.compile(r"^Total Cycles:\s+([0-9]{1,15})$", re.MULTILINE)


class CycleTable:
    """Cycles of blocks on one core, from the database or else from LLVM.

    Raises:
        OSError: LLVM is missing or fails.
    """

    def __init__(self, core: Core) -> None:
        self._flags = [f"-mcpu={core.mca_cpu}", f"-mattr={core.mca_features}"]
        llvm = llvm_tool("llvm-mca").version
        self._model = f"llvm {llvm} {core.mca_cpu} {core.mca_features} {RUNS}"
        self._known = ResultStore(
            "cycles",
            "cycles (model TEXT, code BLOB, cycles REAL, PRIMARY KEY (model, code)) WITHOUT ROWID",
            ("model", "code", "cycles"),
        )

    def close(self) -> None:
        """Close the database."""
        self._known.close()

    def cycles(self, codes: Iterable[bytes]) -> dict[bytes, float]:
        """Steady-state cycles of each block."""
        found: dict[bytes, float] = {}
        missing = []
        for code in sorted(set(codes)):
            known = self._known.find(self._model, code)
            if isinstance(known, float) and 0 <= known <= MOST_CYCLES:
                found[code] = known
            else:
                missing.append(code)
        for i in range(0, len(missing), BLOCKS_PER_CALL):
            some = missing[i : i + BLOCKS_PER_CALL]
            values = self._analyse(some)
            self._known.store([(self._model, *pair) for pair in zip(some, values, strict=True)])
            found |= zip(some, values, strict=True)
        return found

    def total(self, counts: Mapping[bytes, int]) -> float:
        """Cycles of {block: runs}. The blocks with `SHARE` of the instructions are analysed; the
        others are assumed to need as many cycles an instruction."""
        weight = {code: len(code) // 4 * runs for code, runs in counts.items()}
        instructions, done = sum(weight.values()), 0
        chosen: list[bytes] = []
        for code in sorted(weight, key=lambda code: (-weight[code], code)):
            if done >= SHARE * instructions:
                break
            chosen.append(code)
            done += weight[code]
        found = self.cycles(chosen)
        return sum(found[code] * counts[code] for code in chosen) * instructions / max(done, 1)

    def _analyse(self, codes: Sequence[bytes]) -> list[float]:
        text = self._assembly(codes)
        short, long = (self._totals(text, count, len(codes)) for count in (RUNS, 2 * RUNS))
        if not all(0 <= a <= b for a, b in zip(short, long, strict=True)):
            raise OSError("llvm-mca gave fewer cycles for more runs: install LLVM anew")
        return [(b - a) / RUNS for a, b in zip(short, long, strict=True)]

    def _assembly(self, codes: Sequence[bytes]) -> str:
        """The blocks as assembly, each between the analyser's marks."""
        words = "\n".join(" ".join(f"0x{b:02x}" for b in code) for code in codes)
        flags = ["--disassemble", "-triple=aarch64", *self._flags]
        lines = re.findall(r"^\t[^.].*", _run("llvm-mc", flags, words), re.MULTILINE)
        count = sum(map(len, codes)) // 4
        if len(lines) != count:
            raise OSError(
                f"llvm-mc gave {len(lines)} instructions for {count}: "
                "the blocks have instructions that it does not know"
            )
        out, rest = [], iter(lines)
        for number, code in enumerate(codes):
            part = islice(rest, len(code) // 4)
            out += [f"# LLVM-MCA-BEGIN b{number}", *part, f"# LLVM-MCA-END b{number}"]
        return "\n".join(out) + "\n"

    def _totals(self, text: str, runs: int, count: int) -> list[int]:
        flags = ["-mtriple=aarch64", *self._flags, f"-iterations={runs}"]
        flags += ["-instruction-info=0", "-resource-pressure=0"]
        flags += ["-skip-unsupported-instructions=lack-sched"]  # reads of system registers
        return region_totals(_run("llvm-mca", flags, text), count)


def region_totals(report: str, count: int) -> list[int]:
    """Total cycles of each region of llvm-mca's report, in the regions' order.

    Raises:
        OSError: a region is missing.
    """
    totals = [int(total) for total in TOTAL.findall(report)]
    if len(totals) != count:
        raise OSError(f"llvm-mca gave no cycles for {count - len(totals)} of {count} blocks")
    return totals


def _run(name: str, flags: Sequence[str], text: str) -> str:
    return run_tool([*llvm_tool(name).start, *flags], f"{name}, analysing blocks,", text=text)
