"""latency.emulator.estimator: counted once, remembered by all that it depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from latency.devices.sysroot import Sysroot
from latency.emulator import estimator
from latency.emulator.cores import Core, get_core
from latency.emulator.counter import CountRequest, Counts
from latency.emulator.estimator import BATCH_FLOPS, BATCH_NETWORKS, Estimator, Work
from latency.emulator.tools import Program

A76 = get_core("cortex-a76")


class Emulator:
    """Stands for QEMU: a network runs as many instructions as its text has letters."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.fails_after = 10**9

    def count(
        self, requests: Sequence[CountRequest], core: Core, sysroot: Sysroot
    ) -> list[Counts]:
        if len(self.batches) >= self.fails_after:
            raise OSError("killed")
        self.batches.append(len(requests))
        return [Counts({b"\0\0\0\0": len(one.param)}, (1, 2, 3, 4, 5)) for one in requests]


class Cycles:
    def __init__(self, core: Core) -> None:
        pass

    def total(self, counts: dict[bytes, int]) -> float:
        return 2.0 * sum(counts.values())

    def close(self) -> None:
        pass


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Emulator:
    made = Emulator()
    root = Path("/nowhere")
    sysroot = Sysroot(root, root, root, "3.11", {"ncnn": "1.0"})
    monkeypatch.setattr(estimator, "arm64_sysroot", lambda packages, log: sysroot)
    monkeypatch.setattr(estimator, "plugin_qemu", lambda: Program(("qemu",), "7.2"))
    monkeypatch.setattr(estimator, "llvm_tool", lambda name: Program((name,), "19.1"))
    monkeypatch.setattr(estimator, "CycleTable", Cycles)
    monkeypatch.setattr(estimator, "count_networks", made.count)
    return made


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Estimator]:
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path))
    return lambda core=A76: Estimator(core)


def some(count: int, flops: int = 1) -> list[CountRequest]:
    return [CountRequest("x" * (i + 1), (1, 1, 1), flops) for i in range(count)]


def test_work_of_each_network(emulator: Emulator, opened: Callable[..., Estimator]) -> None:
    with opened() as made:
        first, second, again = made.work([*some(2), some(1)[0]])
    assert first == again == Work(1, 2.0, 1, 2, 3, 4, 5)
    assert second == Work(2, 4.0, 1, 2, 3, 4, 5)
    assert emulator.batches == [2]  # the third was the first


def test_counted_once(emulator: Emulator, opened: Callable[..., Estimator]) -> None:
    with opened() as made:
        made.work(some(3))
    with opened() as made:
        assert [len(made.missing(some(4))), made.expected_s(some(3))] == [1, 0.0]
        assert [work.instructions for work in made.work(some(3))] == [1, 2, 3]
    assert emulator.batches == [3]


@pytest.mark.parametrize(
    "other",
    [
        CountRequest("x", (2, 1, 1), 1),
        CountRequest("y", (1, 1, 1), 1),
        CountRequest("x", (1, 1, 1), 1, evict=True),
    ],
)
def test_another_request(
    other: CountRequest, emulator: Emulator, opened: Callable[..., Estimator]
) -> None:
    with opened() as made:
        made.work(some(1))
        assert made.missing([other]) == [other]


def test_another_core_or_version(
    emulator: Emulator, opened: Callable[..., Estimator], monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened() as made:
        made.work(some(1))
    with opened(replace(A76, caches=((1024, 2),))) as made:
        assert made.missing(some(1))
    monkeypatch.setattr(estimator, "plugin_qemu", lambda: Program(("qemu",), "8.0"))
    with opened() as made:
        assert made.missing(some(1))


def test_a_killed_run_goes_on(emulator: Emulator, opened: Callable[..., Estimator]) -> None:
    requests = some(BATCH_NETWORKS + 5)
    emulator.fails_after = 1
    with opened() as made, pytest.raises(OSError, match="killed"):
        made.work(requests)
    emulator.fails_after = 2
    reports: list[tuple[int, int]] = []
    with opened() as made:
        made.work(requests, lambda done, total: reports.append((done, total)))
    assert emulator.batches == [BATCH_NETWORKS, 5]
    assert reports == [(0, 5), (5, 5)]


def test_large_networks_get_a_process_of_their_own(
    emulator: Emulator, opened: Callable[..., Estimator]
) -> None:
    with opened() as made:
        made.work(some(3, flops=int(BATCH_FLOPS * 0.6)))
    assert emulator.batches == [1, 1, 1]


def test_the_expected_time_includes_the_warm_up(
    emulator: Emulator, opened: Callable[..., Estimator]
) -> None:
    warm, cold = (CountRequest("x", (1, 1, 1), 10**9, evict=e) for e in (False, True))
    with opened() as made:
        assert made.expected_s([warm]) - made.expected_s([cold]) == pytest.approx(
            10**9 * estimator.SECONDS_PER_FLOP
        )


def test_an_unknown_engine() -> None:
    with pytest.raises(ValueError, match="engine must be one of ncnn; got 'mnn'"):
        Estimator(A76, "mnn")


@pytest.mark.parametrize(
    "value",
    ["", "x", "[]", "{}", "[1]", "[1, NaN]", "[-1, 2, 0, 0, 0, 0, 0]", "[1, 1e300]",
     "[1,2,3,4,5,6,7,8]"],
)  # fmt: skip
def test_a_damaged_count_is_counted_again(
    emulator: Emulator, opened: Callable[..., Estimator], value: str
) -> None:
    with opened() as made:
        (right,) = made.work(some(1))
        made._known.store([(made._key(some(1)[0]), value)])
        assert made.work(some(1)) == [right]
    assert emulator.batches == [1, 1]
