import sys
from pathlib import Path

import numpy as np
import pytest

from latency.ondevice.runners.cpu import EVICT_BYTES, Eviction


def test_every_byte_is_written_over_at_each_call():
    evict = Eviction()
    assert evict._values.nbytes == EVICT_BYTES
    evict()
    evict()
    np.testing.assert_array_equal(evict._values, 2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/smaps")
def test_memory_is_in_small_pages_and_all_there():
    """What the kernel says of the mapping: all of it resident, none in large pages."""
    evict = Eviction()
    evict()
    address = evict._values.__array_interface__["data"][0]
    facts: dict[str, int] = {}
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head = line.split()[0]
        if "-" in head and not head.endswith(":"):
            first, last = (int(end, 16) for end in head.split("-"))
            inside = first <= address < last
        elif inside and line.endswith(" kB"):
            facts[head.rstrip(":")] = int(line.split()[1])
    assert facts["Rss"] >= EVICT_BYTES / 1024
    assert facts["AnonHugePages"] == 0 and facts.get("ShmemPmdMapped", 0) == 0
