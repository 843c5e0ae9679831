"""A stand-in for torch.cuda, for the logic around a GPU."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from latency.engines.torch import cuda as torch_cuda


class Gpu:
    """Stands in for torch.cuda: writes down what is asked of it, and runs on the CPU.

    It cannot show what a GPU does: kernels run at once and in order, a replay runs nothing, memory
    that is freed stays as it is, and its errors are those that torch's source has. There is no
    cuDNN: what it is told is seen, not which kernel it chooses or how long that takes. All runs
    take 1.5 ms.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.properties = SimpleNamespace(
            L2_cache_size=1024, name="Chip", major=9, minor=0, multi_processor_count=132,
            total_memory=2**30, uuid="1234",
        )  # fmt: skip
        self.count, self.number = 1, 0
        self.built = ["sm_75", "sm_80", "sm_90", "compute_120"]
        self.refusal: Exception | None = None  # what initialisation raises
        self.reserved, self.allocated, self.free = 0, 0, 2**29

    def init(self) -> None:
        if self.refusal:
            raise self.refusal

    def is_available(self) -> bool:
        return True

    def get_device_capability(self, device: int) -> tuple[int, int]:
        return self.properties.major, self.properties.minor

    def device_count(self) -> int:
        return self.count

    def current_device(self) -> int:
        return self.number

    def get_device_properties(self, device: int) -> SimpleNamespace:
        assert device == self.number
        return self.properties

    def get_arch_list(self) -> list[str]:
        return self.built

    def memory_reserved(self) -> int:
        return self.reserved

    def memory_allocated(self) -> int:
        return self.allocated

    def mem_get_info(self) -> tuple[int, int]:
        return self.free, self.properties.total_memory

    def empty_cache(self) -> None:
        self.log.append("empty")

    def synchronize(self) -> None:
        self.log.append("synchronize")

    def current_stream(self) -> Gpu:
        return self

    Stream = current_stream

    def wait_stream(self, other: Gpu) -> None:
        self.log.append("wait")

    def stream(self, stream: Gpu) -> Gpu:
        return self

    def __enter__(self) -> None:
        self.log.append("side")

    def __exit__(self, *_: object) -> None:
        self.log.append("left")

    def CUDAGraph(self) -> SimpleNamespace:
        return SimpleNamespace(
            replay=lambda: self.log.append("replay"),
            capture_begin=lambda: self.log.append("begin"),
            capture_end=lambda: self.log.append("end"),
        )

    def Event(self, **options: bool) -> SimpleNamespace:
        assert options == {"enable_timing": True, "external": True}

        def elapsed_time(other: object) -> float:
            self.log.append("read")
            return 1.5

        return SimpleNamespace(record=lambda: self.log.append("record"), elapsed_time=elapsed_time)


def use_fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    """Put a stand-in in the place of torch.cuda, in a torch that is built for CUDA 13.0."""
    fake = Gpu()
    monkeypatch.setattr(torch, "cuda", fake)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch_cuda, "DEVICE", "cpu")
    monkeypatch.setattr(torch_cuda, "read_facts", lambda uuid: {})
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return fake
