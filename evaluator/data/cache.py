"""Images decoded once: a part of a data set as one array of bytes on disk, mapped into memory.

The file is a .npy of uint8 [n, side, side, 3] and, behind it, the CRC-32 of its pixels.
"""

from __future__ import annotations

import errno
import io
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluator.data.dataset import Part, digest
from evaluator.data.image import quiet_pillow
from space.common.files import cache_dir, check_regular, replace_file

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]
LARGEST_BYTES = 4 << 30  # of one part; larger ones are decoded on the fly
LAYOUT = 2  # changes when the same images would be stored differently
CHUNK = 1000
CHECKSUM_BYTES = 4


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

    The name of the file follows from the files of the part: a changed or another folder has
    another one. A damaged file is written anew.

    Args:
        workers: threads that decode; 0: one.
        folder: the cache; None: below `$G4NAS_CACHE`.
        progress: called with the number of images done.

    Raises:
        DataError: an image is damaged; names the file.
        OSError: the cache cannot be written, as on a full disk; names the file.
    """
    name = f"{digest([LAYOUT, part.key, part.stamp, side, len(part)])}-{side}.npy"
    path = (folder or cache_dir() / "images") / name
    shape = (len(part), side, side, 3)
    header = _header(shape)
    if not _is_whole(path, header, int(np.prod(shape))):
        _write(path, header, part, side, workers, progress)
    return np.memmap(path, np.uint8, "r", len(header), shape)


def _header(shape: tuple[int, ...]) -> bytes:
    text = io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(text, about)
    return text.getvalue()


def _is_whole(path: Path, header: bytes, pixels: int) -> bool:
    """Whether the file is there, undamaged. A map of a file that is too short would end the
    process by a signal where it is read."""
    try:
        check_regular(path)
    except FileNotFoundError:
        return False
    if path.stat().st_size != len(header) + pixels + CHECKSUM_BYTES:
        return False
    with path.open("rb") as file:
        if file.read(len(header)) != header:
            return False
        checksum, left = 0, pixels
        while left and (block := file.read(min(left, 1 << 20))):
            checksum, left = zlib.crc32(block, checksum), left - len(block)
        return not left and file.read() == checksum.to_bytes(CHECKSUM_BYTES, "little")


def _write(
    path: Path,
    header: bytes,
    part: Part,
    side: int,
    workers: int,
    progress: Callable[[int], object] | None,
) -> None:
    """Decode a part into its file. Written, not mapped: a full disk is then an error of a write,
    and no signal."""

    def read(index: int) -> Pixels:
        return np.asarray(squared(part.image(index), side))

    size = len(header) + len(part) * side * side * 3 + CHECKSUM_BYTES
    with (
        replace_file(path) as temporary,
        temporary.open("rb+") as file,
        quiet_pillow(),
        ThreadPoolExecutor(max(1, workers)) as pool,
    ):
        _reserve(file.fileno(), size)
        file.write(header)
        checksum = 0
        for start in range(0, len(part), CHUNK):
            chosen = range(start, min(start + CHUNK, len(part)))
            block = np.stack(list(pool.map(read, chosen))).tobytes()
            checksum = zlib.crc32(block, checksum)
            file.write(block)
            if progress is not None:
                progress(chosen.stop)
        file.write(checksum.to_bytes(CHECKSUM_BYTES, "little"))


def _reserve(handle: int, size: int) -> None:
    """Take the space now, so that a full disk is found before the images are decoded. Where the
    system cannot, the writes find it."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
