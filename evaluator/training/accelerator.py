"""What trainings need of a device that they share: streams, memory, and the end of its work."""

from __future__ import annotations

import gc
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


class Accelerator:
    """A CUDA device; or the CPU, which has neither streams nor a limit of its own."""

    def __init__(self, device: str) -> None:
        self.device, self._cuda = device, device != "cpu"

    def new_stream(self) -> Any:
        """A stream for one training; None on the CPU."""
        if not self._cuda:
            return None
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))  # the images are copied there
        return stream

    def on(self, stream: Any) -> AbstractContextManager[Any]:
        """The context in which work goes to `stream`."""
        return torch.cuda.stream(stream) if self._cuda else nullcontext()

    def wait(self) -> None:
        """Return when all work is done."""
        if self._cuda:
            torch.cuda.synchronize(self.device)

    def used_bytes(self) -> int:
        """Bytes that this process holds."""
        return torch.cuda.memory_reserved(self.device) if self._cuda else 0

    def free_bytes(self) -> int | None:
        """Bytes that are free for this process; None: no limit."""
        return int(torch.cuda.mem_get_info(self.device)[0]) if self._cuda else None

    def release(self) -> None:
        """Give back the memory of trainings that are over."""
        gc.collect()  # a training and its steps know each other
        if self._cuda:
            torch.cuda.empty_cache()
