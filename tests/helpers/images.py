"""Small folders of images whose classes can be told apart."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluator.data.dataset import Part

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


def png(value: int = 0, side: int = 8) -> bytes:
    """A small valid PNG of one colour; up to 2^24 different ones."""
    out = io.BytesIO()
    Image.new("RGB", (side, side), tuple(value.to_bytes(3, "little"))).save(out, "PNG")
    return out.getvalue()


def image_tree(top: Path, counts: Mapping[str, int], suffix: str = ".png") -> Path:
    """So many different images in each folder: `{"train/cat": 3}`."""
    for number, (folder, count) in enumerate(counts.items()):
        (top / folder).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            data = png(17 * number + index)
            (top / folder / f"{index}{suffix}").write_bytes(data)
    return top


def image_table(path: Path, labels: Sequence[Any], *, column: str = "label", **more: Any) -> Path:
    """A parquet file of small images with these labels; `more`: other columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    first = zlib.crc32(str(path).encode()) % 2**16 << 8  # each file has images of its own
    images = pa.array([png(first + index) for index in range(len(labels))], pa.binary())
    pq.write_table(pa.table({"image": images, column: labels, **more}), path)
    return path


def class_counts(part: Part, classes: Sequence[str]) -> dict[str, int]:
    """How many images of each class a part has; classes without images are left out."""
    found = np.bincount(part.labels, minlength=len(classes))
    return {name: int(count) for name, count in zip(classes, found, strict=True) if count}
