"""latency.emulator.cycles: llvm-mca's report, the cache, and loops whose cycles are known."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from latency.emulator import cycles, tools
from latency.emulator.cores import get_core
from latency.emulator.cycles import CycleTable, region_totals
from latency.emulator.tools import Program

REPORT = """
[0] Code Region - b0

Iterations:        40
Instructions:      120
Total Cycles:      47
Total uOps:        120

Dispatch Width:    8
IPC:               2.55

[1] Code Region - b1

Iterations:        40
Instructions:      40
Total Cycles:      168
"""
# Hand assembled: "fmla v0.4s, v1.4s, v2.4s" depends on itself; eight with separate results do not.
CHAIN = bytes.fromhex("20cc224e")
APART = b"".join((0x4E22CC20 + register).to_bytes(4, "little") for register in (0, *range(16, 23)))
ADD = bytes.fromhex("00040091")  # add x0, x0, #1


def test_totals_of_each_region() -> None:
    assert region_totals(REPORT, 2) == [47, 168]


def test_a_region_without_cycles_is_an_error() -> None:
    with pytest.raises(OSError, match="no cycles for 1 of 3 blocks"):
        region_totals(REPORT, 3)


class CountedTable(CycleTable):
    """A table whose analyser is a rule: as many cycles as bytes."""

    asked = 0

    def _analyse(self, codes):  # type: ignore[no-untyped-def]
        self.asked += len(codes)
        return [float(len(code)) for code in codes]


@pytest.fixture
def no_llvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path))
    monkeypatch.setattr(cycles, "llvm_tool", lambda name: Program((name,), "19.1.7"))


def table() -> CountedTable:
    return CountedTable(get_core("cortex-a72"))


def test_answers_are_kept(no_llvm: None) -> None:
    first = table()
    assert first.cycles([CHAIN, APART, CHAIN]) == {CHAIN: 4.0, APART: 32.0}
    first.close()
    second = table()
    assert second.cycles([CHAIN]) == {CHAIN: 4.0}
    assert (first.asked, second.asked) == (2, 0)
    second.close()


def test_another_llvm_is_asked_again(no_llvm: None, monkeypatch: pytest.MonkeyPatch) -> None:
    first = table()
    first.cycles([CHAIN])
    first.close()
    monkeypatch.setattr(cycles, "llvm_tool", lambda name: Program((name,), "19.1.8"))
    second = table()
    second.cycles([CHAIN])
    assert second.asked == 1
    second.close()


def test_the_rest_runs_at_the_pace_of_what_was_analysed(no_llvm: None) -> None:
    found = table()
    counts = {APART: 1000, CHAIN: 10}  # 8000 instructions, and 10 that are below what is analysed
    assert found.total(counts) == pytest.approx(32.0 * 1000 * 8010 / 8000)
    assert found.asked == 1
    found.close()


def test_nothing_ran(no_llvm: None) -> None:
    found = table()
    assert found.total({}) == 0
    found.close()


@pytest.mark.slow
def test_cycles_of_known_loops(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = os.environ.get("G4NAS_TEST_CACHE") or str(tmp_path_factory.mktemp("cache"))
    monkeypatch.setenv("G4NAS_CACHE", cache)
    tools.llvm_tool.cache_clear()
    try:
        for name in ("llvm-mca", "llvm-mc"):
            tools.llvm_tool(name)
    except OSError as error:
        pytest.skip(f"no LLVM 19 here: {error}")
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path))
    found = CycleTable(get_core("cortex-a76"))
    # Arm Neoverse N1 Software Optimization Guide: FMLA has latency 4 and two go at once; an ADD
    # has latency 1. LLVM leaves out that an FMLA may wait but 2 cycles for its accumulator.
    assert found.cycles([ADD, CHAIN, APART]) == {ADD: 1.0, CHAIN: 4.0, APART: 4.0}
    found.close()
