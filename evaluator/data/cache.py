"""Images decoded once: a part of a data set as one array of bytes on disk, mapped into memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluator.data.dataset import Part, digest
from space.common.files import cache_dir, replace_file

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]
LARGEST_BYTES = 4 << 30  # of one part; larger ones are decoded on the fly
LAYOUT = 1  # changes when the same images would be stored differently
CHUNK = 1000


def fits(part: Part, side: int) -> bool:
    """Whether a part is cached at this side rather than decoded on the fly."""
    return len(part) * side * side * 3 <= LARGEST_BYTES


def squared(image: Image, side: int) -> Image:
    """The middle of an image, `side` x `side`, after its shorter side was resized to that."""
    from PIL import Image as Images

    width, height = image.size
    if (width, height) == (side, side):
        return image
    short = min(width, height)
    left, top = (width - short) // 2, (height - short) // 2
    middle = image.crop((left, top, left + short, top + short))
    return middle.resize((side, side), Images.Resampling.BILINEAR)


def decoded(
    part: Part,
    side: int,
    *,
    workers: int = 0,
    folder: Path | None = None,
    progress: Callable[[int], object] | None = None,
) -> Pixels:
    """The images of a part as uint8 [n, side, side, 3], read from the cache or written to it.

    The name of the file follows from the content of the part: a changed folder has another one.

    Args:
        workers: threads that decode; 0: one.
        folder: the cache; None: below `$G4NAS_CACHE`.
        progress: called with the number of images done.

    Raises:
        DataError: an image is damaged; names the file.
    """
    name = f"{digest([LAYOUT, part.key, side, len(part)])}-{side}.npy"
    path = (folder or cache_dir() / "images") / name
    if not path.exists():
        shape = (len(part), side, side, 3)
        with replace_file(path) as temporary, ThreadPoolExecutor(max(1, workers)) as pool:
            pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)

            def read(index: int) -> None:
                pixels[index] = np.asarray(squared(part.image(index), side))

            for start in range(0, len(part), CHUNK):
                chosen = range(start, min(start + CHUNK, len(part)))
                list(pool.map(read, chosen))
                if progress is not None:
                    progress(chosen.stop)
            pixels.flush()
    found: Pixels = np.load(path, mmap_mode="r")
    return found
