"""A training's process keeps the memory that it frees."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from evaluator.training.process import reuse_freed_memory

PAGES = """
import ctypes, resource, sys
from evaluator.training.process import reuse_freed_memory
if sys.argv[1] == "keep":
    assert reuse_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
def step():
    for size in (3, 5, 40):
        block = libc.malloc(size << 20)
        ctypes.memset(block, 1, size << 20)
        libc.free(block)
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has mallopt")
def test_no_step_faults_its_pages_in_again() -> None:
    """5 steps of 48 MiB in pages of 4 KiB are 61,440 faults; kept, next to none."""
    faults = {}
    for how in ("plain", "keep"):
        command = [sys.executable, "-c", PAGES, how]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        faults[how] = int(done.stdout)
    assert faults["plain"] > 10 * faults["keep"]  # huge pages would leave it fewer
    assert faults["keep"] < 1_000


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1.2"))
    assert not reuse_freed_memory()
