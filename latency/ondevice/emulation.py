"""Detects a processor whose instructions are translated by software, from the time they take.

A translator holds integers in registers of the real processor, but computes vectors of floats in
functions of its own, number by number. A chain of vector additions then takes many times as long
as a chain of integer additions, whatever chip it imitates.
"""

from __future__ import annotations

import mmap
import platform
import statistics
import time
from collections.abc import Callable

LENGTH = 16  # instructions in a loop; each needs the result of the previous one
LOOPS = 20_000
# Latency in cycles of an addition of 4 floats over that of an integer addition: 2 to 4 on Arm's
# cores from Cortex-A53 to X4 (their Software Optimization Guides), 3 to 4 on x86 (uops.info,
# ADDPS). QEMU 7.2 has 32 on aarch64 and 90 on x86-64 (docs/guide/devices.md).
RATIO_LIMIT = 12.0


def _aarch64(vector: bool) -> bytes:
    """A loop of x0 rounds: LENGTH times `fadd v0.4s, v0.4s, v1.4s` or `add x2, x2, x1`."""
    start = (0x4F03F600, 0x4F03F601)  # fmov v0.4s, #1.0; fmov v1.4s, #1.0
    body = (0x4E21D400 if vector else 0x8B010042,) * LENGTH
    back = 0x54000001 | (-(LENGTH + 1) & 0x7FFFF) << 5  # b.ne
    words = (*start, *body, 0xF1000400, back, 0xD65F03C0)  # subs x0, x0, #1; b.ne; ret
    return b"".join(word.to_bytes(4, "little") for word in words)


def _x86_64(vector: bool) -> bytes:
    """A loop of rdi rounds: LENGTH times `addps xmm0, xmm1` or `add rax, rcx`."""
    start = bytes.fromhex("0f57c0 0f57c9")  # xorps xmm0, xmm0; xorps xmm1, xmm1
    body = bytes.fromhex("0f58c1" if vector else "4801c8") * LENGTH
    count = bytes.fromhex("48ffcf")  # dec rdi
    back = -(len(body) + len(count) + 6)
    return start + body + count + b"\x0f\x85" + back.to_bytes(4, "little", signed=True) + b"\xc3"


CODE: dict[str, Callable[[bool], bytes]] = {"aarch64": _aarch64, "x86_64": _x86_64}


def instruction_ratio() -> float:
    """Time of a vector addition over that of an integer addition; 0 where it is unknown."""
    try:
        import ctypes

        write = CODE[platform.machine()]
        protection = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        with mmap.mmap(-1, 2 * mmap.PAGESIZE, prot=protection) as pages:
            pages[: mmap.PAGESIZE] = write(True).ljust(mmap.PAGESIZE, b"\0")
            pages[mmap.PAGESIZE :] = write(False).ljust(mmap.PAGESIZE, b"\0")
            hold = ctypes.c_char.from_buffer(pages)
            address = ctypes.addressof(hold)
            kind = ctypes.CFUNCTYPE(None, ctypes.c_uint64)
            vector, integer = kind(address), kind(address + mmap.PAGESIZE)
            ratios = []
            for index in range(9):  # alternating: both of a pair run on the same core
                ratio = _seconds(vector) / _seconds(integer)
                if index > 1:
                    ratios.append(ratio)
            del hold
    except (ImportError, KeyError, OSError, AttributeError, BufferError, ValueError):
        return 0.0
    return statistics.median(ratios)


def _seconds(run: Callable[[int], None]) -> float:
    started = time.perf_counter()
    run(LOOPS)
    return time.perf_counter() - started
