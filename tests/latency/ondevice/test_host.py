"""What a machine says of itself, and what makes its times doubtful."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.devices.answers import HELLO, SPECS
from latency.devices.health import states, warnings
from latency.ondevice import emulation, host
from latency.ondevice.server import Server
from space.common.schema import check
from tests.helpers.hostile import examples, mutated_csv, mutated_text


def processors(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine has that /proc/cpuinfo, and no name of a board."""
    read = {"/proc/cpuinfo": text}
    monkeypatch.setattr(host, "read", lambda path: read.get(path, ""))
    monkeypatch.setattr(host, "cpuinfo", host.cpuinfo.__wrapped__)
    monkeypatch.setattr(host, "_property", lambda name: "")


def arm(part: str, implementer: str = "0x41") -> str:
    return (
        f"processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd asimdhp\n"
        f"CPU implementer\t: {implementer}\nCPU architecture: 8\nCPU part\t: {part}\n\n"
    )


class TestChip:
    def test_cores_of_two_kinds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        processors(4 * arm("0xd05") + 2 * arm("0xd41"), monkeypatch)
        assert host.chip() == "4 x Cortex-A55 + 2 x Cortex-A78"
        assert host.host_info()["features"] == "asimd asimdhp"

    def test_a_core_without_a_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        processors(arm("0xd0b", implementer="0x51") + arm("0xfff"), monkeypatch)
        assert host.chip() == "1 x core 0x51/0xd0b + 1 x core 0x41/0xfff"

    def test_x86(self, monkeypatch: pytest.MonkeyPatch) -> None:
        processors(
            "processor\t: 0\nvendor_id\t: x\ncpu family\t: 25\nmodel\t\t: 1\n"
            "model name\t: AMD EPYC\nstepping\t: 1\nflags\t: fma avx2\n\n",
            monkeypatch,
        )
        assert host.chip() == "AMD EPYC (family 25/1/1)"
        assert host.host_info()["features"] == "avx2 fma"


class TestEmulation:
    @pytest.fixture(autouse=True)
    def fresh(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(host, "emulation", host.emulation.__wrapped__)
        monkeypatch.setattr(host, "cpuinfo", lambda: ())

    def test_the_program_that_really_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(platform, "machine", lambda: "riscv64")
        assert host.emulation().endswith("runs this one for riscv")

    def test_the_kernel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(host, "_elf_family", lambda path: "")
        real = host.read
        path = "/proc/sys/kernel/arch"
        monkeypatch.setattr(host, "read", lambda p: "s390x" if p == path else real(p))
        assert host.emulation().startswith("the kernel is of s390x")

    def test_older_programs_of_the_same_chip_are_not_emulated(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(platform, "machine", lambda: "armv7l")
        monkeypatch.setattr(host, "_elf_family", lambda path: "arm")
        monkeypatch.setattr(host, "read", lambda path: "aarch64")
        monkeypatch.setattr(host, "instruction_ratio", lambda: 4.0)
        assert host.emulation() == ""

    def test_slow_vectors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(host, "_elf_family", lambda path: "")
        monkeypatch.setattr(host, "read", lambda path: "")
        monkeypatch.setattr(host, "instruction_ratio", lambda: 32.0)
        assert "vector instructions are as slow" in host.emulation()


@pytest.mark.skipif(platform.machine() not in emulation.CODE, reason="no code for this machine")
def test_ratio_of_instructions_here() -> None:
    """A real or virtual processor's: the latency of a vector addition is 2 to 5 cycles."""
    assert 1.0 < emulation.instruction_ratio() < emulation.RATIO_LIMIT


def test_code_by_an_assembler() -> None:
    """Bytes as GNU as writes them: `add x2, x2, x1` is 42 00 01 8b, `fadd v0.4s, v0.4s, v1.4s`
    00 d4 21 4e, `subs x0, x0, #1` 00 04 00 f1, `ret` c0 03 5f d6; `addps xmm0, xmm1` 0f 58 c1."""
    arm64 = emulation.CODE["aarch64"](False)
    assert bytes.fromhex("4200018b") * emulation.LENGTH in arm64
    assert bytes.fromhex("000400f1") in arm64 and arm64.endswith(bytes.fromhex("c0035fd6"))
    assert bytes.fromhex("00d4214e") * emulation.LENGTH in emulation.CODE["aarch64"](True)
    assert bytes.fromhex("0f58c1") * emulation.LENGTH in emulation.CODE["x86_64"](True)


def test_files_of_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"Raspberry Pi 5\0")
    assert host.read(str(tmp_path / "model")) == "Raspberry Pi 5"
    assert host.read(str(tmp_path / "none")) == ""


def test_pinned_to_the_fastest_where_cores_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    speed = {0: 400, 1: 400, 2: 1024, 3: 1024}
    monkeypatch.setattr(host, "affinity", lambda: list(speed))

    def number(path: str) -> int:
        return speed[int(path.removeprefix(f"{host.CPUS}/cpu").partition("/")[0])]

    monkeypatch.setattr(host, "_number", number)
    asked: list[Any] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cpus: asked.append(cpus))
    host.pin(1)
    host.pin(3)
    assert asked == [[3], [3, 2, 1]]
    speed |= dict.fromkeys(speed, 7)
    host.pin(1)
    assert len(asked) == 2


QUIET = {"frequency": 2_400_000_000, "temperature": 50.0, "load": 1.0}


@pytest.mark.parametrize(
    ("facts", "found", "told"),
    [
        ({"on_battery": "yes"}, [], "runs on battery"),
        ({"governor": "ondemand"}, [], "governor is 'ondemand'"),
        ({}, [QUIET, QUIET | {"on_battery": "yes"}], "runs on battery"),
        ({}, [QUIET, QUIET | {"frequency": 1_500_000_000}], "between 1.50 and 2.40 GHz"),
        ({}, [QUIET, QUIET | {"temperature": 86.0}], "from 50 to 86 degrees"),
        ({}, [QUIET, QUIET | {"throttled": 3}], "throttled itself while"),
        ({}, [QUIET | {"throttled": 3}] * 2, "has throttled itself since"),
        ({}, [QUIET | {"load": 3.5}] * 3, "load 3.5, 1 of it ours"),
    ],
)
def test_doubtful(facts: dict[str, Any], found: list[dict[str, Any]], told: str) -> None:
    (line,) = warnings(facts, found, 1)
    assert told in line
    (line,) = warnings(facts, found, 1, spread=0.123)
    assert line.endswith("(samples spread by 12.3%)")


def test_nothing_to_say() -> None:
    assert warnings({"governor": "performance"}, [QUIET] * 5, 1, spread=0.5) == []
    assert warnings({}, [], 1) == [] and states([]) == {}
    assert states([QUIET, {}]) == {"state_first": QUIET, "state_last": {}}


# What a kernel may say, right or not, by the end of the path.
KERNEL = {
    "cpuinfo": 2 * arm("0xd0b") + "Hardware\t: Raspberry Pi 5\n",
    "model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "cpu_capacity": "1024\n",
    "cur_freq": "2400000\n",
    "throttle_count": "3\n",
    "governor": "ondemand\n",
    "get_throttled": "0x50005\n",
    "size": "512K\n",
    "capacity": "87\n",
    "meminfo": "MemTotal: 8000000 kB\nMemAvailable:    7654321 kB\n",
    "arch": platform.machine() + "\n",
}


@pytest.mark.parametrize("text", ["\u00b2", "--5", "1_000", "9" * 5000, "", "nan", "\u0661"])
def test_a_file_of_the_kernel_that_holds_no_number(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "read", lambda path: text)
    found = host.state()
    assert not {"frequency", "throttled"} & found.keys()
    assert host.available_bytes() is None


@examples(60)
@given(data=st.data(), name=st.sampled_from(sorted(KERNEL)))
def test_property_whatever_the_kernel_says_the_server_answers_as_it_must(
    data: st.DataObject, name: str
) -> None:
    """What `hello` makes of mutated files passes the check of the other side."""
    text = KERNEL[name]
    texts = {**KERNEL, name: data.draw(st.one_of(mutated_text(text), mutated_csv(text))).decode(
        errors="replace")}  # fmt: skip

    def read(path: str) -> str:
        return next((t.strip("\0\r\n ") for end, t in texts.items() if path.endswith(end)), "")

    said: list[dict[str, Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "read", read)
        patch.setattr(host, "cpuinfo", host.cpuinfo.__wrapped__)
        patch.setattr(host, "emulation", lambda: "")  # which would be kept for other tests
        server = Server(Path("/"), said.append)
        hello = json.loads(json.dumps(server.hello()))
        check(hello, HELLO)
        server.handle({"do": "open", "engine": "null", "threads": 1, "dtype": "float32"})
    check(said[0], SPECS["opened"])
