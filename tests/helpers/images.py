"""Small folders of images whose classes can be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# A network that trains in milliseconds, as a line of the space.
TINY = "shufflenet_v2 stem=8 width=24,48,96 depth=2,2,2 split=1/2,1/2,1/2 kernel=3,3,3 head=256"


def picture(label: int, rng: np.random.Generator, side: int = 16) -> NDArray[np.uint8]:
    """uint8 [side, side, 3]: noise with more of one colour."""
    pixels = rng.integers(0, 120, (side, side, 3))
    pixels[..., label % 3] += 100
    return pixels.astype(np.uint8)


def image_folder(
    top: Path, *, parts: Sequence[str] = ("train", "test"), classes: int = 3, each: int = 8
) -> Path:
    """An ImageFolder of PNGs; a part "" puts the classes at the top."""
    rng = np.random.default_rng(0)
    for part in parts:
        for label in range(classes):
            folder = top / part / f"class{label}"
            folder.mkdir(parents=True)
            for index in range(each):
                Image.fromarray(picture(label, rng)).save(folder / f"{index:03}.png")
    return top
