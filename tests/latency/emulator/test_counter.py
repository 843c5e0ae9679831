"""latency.emulator.counter: the plugin's records, and a program really counted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from latency.devices.sysroot import arm64_sysroot
from latency.emulator import tools
from latency.emulator.cores import CORES, get_core, plain_files
from latency.emulator.counter import Counts, parse_counts

# Two regions: block 7 is "add x0, x0, #1; subs x1, x1, #1; b.ne .-8", block 9 "ret"; the second
# region ran block 7 alone, which was translated twice at different addresses (11 is a copy).
TRACE = """d 7 0004009121040071c1ffff54
r 17 12 3 2 1 1
c 7 1000
d 9 c0035fd6
c 9 1
e
d 11 0004009121040071c1ffff54
r 18 10 0 0 0 0
c 7 4
c 11 2
e
"""


def test_regions_of_a_trace() -> None:
    loop, ret = bytes.fromhex("0004009121040071c1ffff54"), bytes.fromhex("c0035fd6")
    assert parse_counts(TRACE) == {
        17: Counts({loop: 1000, ret: 1}, 12, 3, 2, 1, 1),
        18: Counts({loop: 6}, 10, 0, 0, 0, 0),
    }


def test_instructions_are_runs_times_length() -> None:
    assert parse_counts(TRACE)[17].instructions == 3 * 1000 + 1


@pytest.mark.parametrize(
    ("line", "number"),
    [("c 8 1", 4), ("x", 4), ("r 1 2", 4), ("d 3 zz", 4), ("c 7 many", 4)],
)
def test_a_malformed_record_is_named(line: str, number: int) -> None:
    text = "\n".join([*TRACE.splitlines()[:3], line, "e"])
    with pytest.raises(ValueError, match=f"line {number}: not a record of the counter"):
        parse_counts(text)


def test_a_region_cut_off_is_left_out() -> None:
    assert list(parse_counts(TRACE.rpartition("c 11")[0])) == [17]


@pytest.mark.parametrize("core", CORES)
def test_what_proc_and_sys_say_of_a_core(core: str) -> None:
    files = plain_files(get_core(core))
    assert "QEMU" in files["proc/cpuinfo"]  # never taken for the chip itself
    half = "asimdhp" in files["proc/cpuinfo"]
    assert half == (core == "cortex-a76")  # ncnn computes in float16 there, not on the A72
    cpu = "sys/devices/system/cpu/cpu0/cache"
    kinds = {files[f"{cpu}/index{i}/type"] for i in range(3)}
    assert kinds == {"Data\n", "Instruction\n", "Unified\n"}


def test_an_unknown_core_lists_the_known() -> None:
    with pytest.raises(ValueError, match="must be one of cortex-a76, cortex-a72"):
        get_core("cortex-a53")


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    tools.counter_plugin.cache_clear()
    with pytest.raises(OSError, match="needs a C compiler on the PATH: install gcc"):
        tools.counter_plugin()


PROGRAM = """
import ctypes
libc = ctypes.CDLL(None)
buffer = ctypes.create_string_buffer(1 << 20)
for label, size in ((1, 1 << 16), (2, 1 << 20), (3, 1 << 20), (4, 0)):
    libc.syscall(0x7eed, 1, label)
    if size:
        libc.memset(buffer, 1, size)
    libc.syscall(0x7eed, 2, label)
"""


@pytest.mark.slow
def test_a_program_really_counted(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = os.environ.get("G4NAS_TEST_CACHE") or str(tmp_path_factory.mktemp("cache"))
    monkeypatch.setenv("G4NAS_CACHE", cache)
    for cached in (tools.counter_plugin, tools.plugin_qemu):
        cached.cache_clear()
    try:
        made = arm64_sysroot(["numpy"])
        start, plugin = tools.plugin_qemu().start, tools.counter_plugin()
    except OSError as error:
        pytest.skip(f"nothing can be counted here: {error}")
    (tmp_path / "program.py").write_text(PROGRAM)
    out = tmp_path / "counts"
    option = f"{plugin},out={out},cache=32768:2,cache=262144:8"
    command = made.command("cortex-a72", tmp_path / "program.py", qemu=["-plugin", option])
    subprocess.run([*start, *command[1:]], env=made.environment(), check=True)
    found = parse_counts(out.read_text())
    small, large, again, nothing = (found[label] for label in (1, 2, 3, 4))
    # Stores of 16 bytes, or of a cache line at once, and the loop's own instructions around them.
    assert (1 << 20) / 64 / 4 < large.instructions - nothing.instructions < (1 << 20) / 4
    # A megabyte is 16,384 lines: none is left in a cache of 256 KiB when it is written again.
    lines = (1 << 20) // 64
    assert again.l2_misses == pytest.approx(lines, rel=0.02)
    assert again.sequential == pytest.approx(lines, rel=0.05)
    assert 0 < small.l1_misses <= large.l1_misses
    assert nothing.l2_misses < 200
