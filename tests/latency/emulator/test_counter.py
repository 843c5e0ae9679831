"""latency.emulator.counter: the plugin's records, and a program really counted."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.devices.sysroot import Sysroot, arm64_sysroot
from latency.emulator import counter, tools
from latency.emulator.cores import CORES, get_core
from latency.emulator.counter import (
    CountRequest,
    Counts,
    count_networks,
    parse_counts,
    plain_files,
)
from latency.emulator.tools import Program
from tests.helpers.hostile import examples, mutated_json, mutated_text

# Two regions of "add x0, x0, #1; subs x1, x1, #1; b.ne .-8" and "ret"; the second region ran the
# loop alone, which was translated twice, at different addresses.
TRACE = """{"label": 17, "memory": [12, 3, 2, 1, 1], "blocks": \
[["0004009121040071c1ffff54", 1000], ["c0035fd6", 1]]}
{"label": 18, "memory": [10, 0, 0, 0, 0], "blocks": [["0004009121040071c1ffff54", 4], \
["0004009121040071c1ffff54", 2]]}
"""


def test_regions_of_a_trace() -> None:
    loop, ret = bytes.fromhex("0004009121040071c1ffff54"), bytes.fromhex("c0035fd6")
    assert parse_counts(TRACE) == {
        17: Counts({loop: 1000, ret: 1}, (12, 3, 2, 1, 1)),
        18: Counts({loop: 6}, (10, 0, 0, 0, 0)),
    }


def test_instructions_are_runs_times_length() -> None:
    assert parse_counts(TRACE)[17].instructions == 3 * 1000 + 1


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "[]",
        '{"label": 1, "memory": [1, 2], "blocks": []}',
        '{"label": 1, "memory": [1, 0, 0, 0, 0], "blocks": [["zz", 1]]}',
        '{"label": 1, "memory": [1, 0, 0, 0, 0], "blocks": [["00", "many"]]}',
        '{"label": 1, "memory": [1, 0, 0, 0, 0], "blocks": [["00", 1]',  # cut off
        '{"label": 1, "memory": [1, 0, 0, 0, 0], "blocks": [["00", 1]]}',  # half an instruction
        '{"label": 1, "memory": [1, 0, 0, 0, 0], "blocks": [["0004009", -1]]}',
        '{"label": 1, "memory": [1, 0, 0, 0, 0], "blocks": [["00040091", -1]]}',
        '{"label": 1, "memory": [1, 0, 0, 0, 0], "blocks": [["00040091", 1.5]]}',
        '{"label": 1, "memory": [1, 0, 0, 0, -1], "blocks": []}',
        '{"label": 1, "memory": [1, 0, 0, 0, NaN], "blocks": []}',
        '{"label": 18, "memory": [1, 0, 0, 0, 0], "blocks": []}',  # twice
        "[" * 100_000,
    ],
)
def test_a_malformed_record_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 3: not a record of the counter"):
        parse_counts(TRACE + line)


@examples(80)
@given(data=st.one_of(mutated_text(TRACE), mutated_json(TRACE.splitlines()[0])))
def test_property_counts_are_right_or_the_line_is_named(data: bytes) -> None:
    try:
        found = parse_counts(data.decode(errors="replace"))
    except ValueError as error:
        assert re.match(r"line [1-9]: not a record of the counter", str(error))
        assert "\n" not in str(error) and len(str(error)) < 500
    else:
        for counts in found.values():
            assert all(
                len(c) % 4 == 0 and type(n) is int and n >= 0 for c, n in counts.blocks.items()
            )
            assert len(counts.memory) == 5 and min(counts.memory) >= 0


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo x: cannot open >&2; exit 3", "the emulated worker failed (sh: x: cannot open)"),
        ("kill -9 $$", "the emulated worker failed (sh: no message, signal 9)"),
        ("exit 0", "the counter must count 1 networks; 1 are missing"),
        ("echo x > OUT", "the counter's file: line 1: not a record of the counter"),
        ("printf '\\377' > OUT", "the counter's file: "),
        ("exec sleep 60", "the emulated worker took more than 1 s"),
    ],
)
def test_a_worker_that_fails_is_one_line(
    script: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell stands for QEMU, and does not read its options but for the counter's file."""
    find = 'OUT=$(echo "$*" | sed "s/.*out=//; s/,cache.*//"); '
    words = ("sh", "-c", find + script.replace("OUT", '"$OUT"'))
    monkeypatch.setattr(counter, "plugin_qemu", lambda: Program(words, "7.2"))
    monkeypatch.setattr(counter, "counter_plugin", lambda: tmp_path / "counter.so")
    monkeypatch.setattr(counter, "COUNT_S", 1.0)
    made = Sysroot(tmp_path, tmp_path, tmp_path, "3.11")
    with pytest.raises(OSError, match="the ") as caught:
        count_networks([CountRequest("x", (1, 1, 1), 1)], get_core("cortex-a76"), made)
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)
    assert caught.value.filename is None


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
    assert again.memory[2] == pytest.approx(lines, rel=0.02)
    assert again.memory[4] == pytest.approx(lines, rel=0.05)
    assert 0 < small.memory[1] <= large.memory[1]
    assert nothing.memory[2] < 200
