"""One image: opened, upright, in RGB."""

from __future__ import annotations

import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import IO, TYPE_CHECKING

from space.common.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

# Modes of Pillow that RGB can hold; I;16, F and others lose too much.
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
# Formats that are recognised by their content. EPS is not among them: Pillow runs Ghostscript.
FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "TIFF",
    "WEBP",
)  # fmt: skip
# What Pillow raises on damaged files.
DAMAGE = (
    OSError, ValueError, SyntaxError, EOFError, TypeError, LookupError, AttributeError,
    ArithmeticError, RuntimeError, MemoryError, struct.error, zlib.error,
)  # fmt: skip
ORIENTATION = 0x112  # the number of the tag in EXIF


def open_image(source: str | IO[bytes]) -> Image:
    """Open an image, which is decoded later.

    Raises:
        OSError: it cannot be read, or is in none of `FORMATS`.
    """
    from PIL import Image

    return Image.open(source, formats=_formats())


def to_rgb(load: Callable[[], Image], name: str) -> Image:
    """The first frame of an image as a viewer shows it: turned as its EXIF data say, in RGB.

    Args:
        load: opens the image.
        name: of the image, in messages.

    Raises:
        DataError: it is damaged, truncated, or not an 8-bit grey or colour image.
    """
    from PIL.Image import DecompressionBombError  # more pixels than any photograph has

    try:
        with quiet_pillow(), load() as image:
            image.load()
            if (mode := image.mode) in MODES:
                # A palette may have transparency, which RGB drops from RGBA only.
                opaque = image.convert("RGBA") if mode == "P" else image
                return _upright(opaque.convert("RGB"), _orientation(image))
    except (*DAMAGE, DecompressionBombError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{name} cannot be read as an image: {reason}. Repair or remove it"
        ) from None
    raise DataError(f"{name} must be an 8-bit grey or colour image; got mode {mode}. Convert it")


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Without Pillow's warnings about odd files, in the main thread and those it starts in the
    block. The filters belong to the process, so other threads leave them as they are."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@cache
def _formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _orientation(image: Image) -> int:
    """1 to 8; 1 if it is not stated, or not legibly."""
    try:
        stated = image.getexif().get(ORIENTATION, 1)
    except DAMAGE:
        return 1
    return stated if isinstance(stated, int) else 1


def _upright(image: Image, orientation: int) -> Image:
    from PIL.Image import Transpose

    method = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation)
    return image if method is None else image.transpose(method)
