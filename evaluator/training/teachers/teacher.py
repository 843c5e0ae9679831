"""Networks to learn from: how they see the images of a training, and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Numbers = tuple[float, ...]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class TeacherNetwork:
    """A network that was opened, before it teaches.

    Args:
        name: for people: what the user typed.
        digest: of the file with its weights.
        run: logits [n, classes] of images that are normalised as it takes them.
        classes: their names in the order of the logits; empty: it does not say.
        size: (height, width) of its input.
        mean: of each channel of its input, of pixels in 0..1; `std` likewise.
        module: what `run` calls, if that is a torch module.
        note: what the user must know.
    """

    name: str
    digest: str
    run: Callable[[Tensor], Tensor]
    classes: tuple[str, ...]
    size: tuple[int, int]
    mean: Numbers
    std: Numbers
    module: nn.Module | None = None
    note: str = ""


@dataclass(eq=False)
class ViewingTeacher:
    """A teacher that sees the images of the student in its own way: with its mean and deviation,
    and at its size.

    Args:
        mean: of the student's channels; `std` likewise.
    """

    network: TeacherNetwork
    mean: Numbers
    std: Numbers
    device: str
    share: float
    temperature: float
    on_device: bool = field(init=False)
    _scale: Tensor | None = field(init=False, default=None)
    _shift: Tensor | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        network = self.network
        self.on_device = network.module is not None
        if network.module is not None:
            network.module.to(self.device).eval().requires_grad_(False)
        if (self.mean, self.std) != (network.mean, network.std):
            ours, theirs = (
                torch.tensor(each, dtype=torch.float64)[:, :, None, None]
                for each in ([self.mean, self.std], [network.mean, network.std])
            )
            self._scale = (ours[1] / theirs[1]).float().to(self.device)
            self._shift = ((ours[0] - theirs[0]) / theirs[1]).float().to(self.device)

    def view(self, x: Tensor) -> Tensor:
        """The images as the teacher takes them. `x`: [n, channels, height, width]."""
        if self._scale is not None and self._shift is not None:
            x = x * self._scale + self._shift
        size = self.network.size
        if x.shape[2:] == size:
            return x
        smaller = size[0] < x.shape[2] or size[1] < x.shape[3]
        return functional.interpolate(
            x, size, mode="bilinear", align_corners=False, antialias=smaller
        )

    @property
    def name(self) -> str:
        """What the user typed."""
        return self.network.name

    def logits(self, x: Tensor) -> Tensor:
        """[n, classes] of images that are normalised as the student takes them."""
        return self.network.run(self.view(x))

    def record(self) -> dict[str, Any]:
        """What identifies it, for the checkpoint of a training; wherever its file lies."""
        height, width = self.network.size
        return {
            "digest": self.network.digest,
            "input": f"{height}x{width}",
            "share": self.share,
            "temperature": self.temperature,
        }

    def text(self, size: tuple[int, int]) -> str:
        """One line for people. `size`: (height, width) of the student's images."""
        ours, theirs = (f"{height}x{width}" for height, width in (size, self.network.size))
        resized = "" if ours == theirs else f"; it sees {ours} images resized to {theirs}"
        return (
            f"teacher {self.network.name}: {self.share:g} of the loss, temperature "
            f"{self.temperature:g}{resized}{self.network.note and '; ' + self.network.note}"
        )
