"""Single images: upright, in RGB, or one line that names the file."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from evaluator.data.cache import decoded
from evaluator.data.image import open_image, to_rgb
from evaluator.data.open import open_data
from space.common.errors import DataError
from tests.helpers.images import image_tree, png

# Where row 0 and column 0 of the stored image are to be seen: EXIF 2.32, orientation.
UPRIGHT = {
    1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
    5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
}  # fmt: skip


def read(data: bytes) -> Image.Image:
    return to_rgb(lambda: open_image(io.BytesIO(data)), "x.png")


def bright_edge(pixels: NDArray[np.uint8], channel: int) -> str:
    """The edge at which a channel is brightest."""
    plane = pixels[..., channel].astype(float)
    edges = {"top": plane[:4], "bottom": plane[-4:], "left": plane[:, :4], "right": plane[:, -4:]}
    return max(edges, key=lambda name: edges[name].mean())


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(tmp_path: Path, form: str, orientation: int) -> None:
    """Row 0 of the stored image is red, column 0 is green."""
    stored = np.zeros((32, 64, 3), dtype=np.uint8)
    stored[:8, :, 0] = stored[:, :16, 1] = 255
    exif = Image.Exif()
    exif[0x112] = orientation
    for folder in ("cat", "dog"):
        (tmp_path / folder).mkdir()
        for index in range(2):
            path = tmp_path / folder / f"{index}.{form.lower()}"
            Image.fromarray(stored).save(path, form, exif=exif)
    part = open_data(tmp_path).train
    pixels = np.asarray(part.image(0))
    assert pixels.shape[:2] == ((64, 32) if orientation > 4 else (32, 64))
    assert (bright_edge(pixels, 0), bright_edge(pixels, 1)) == UPRIGHT[orientation]
    # The cache cuts the middle square, in which the row is still at its edge.
    square = decoded(part, 32, folder=tmp_path / "cache")[0]
    assert bright_edge(square, 0) == UPRIGHT[orientation][0]


def test_damaged_exif_is_no_orientation() -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 4)).save(out, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert read(out.getvalue()).size == (8, 4)


def test_first_frame_of_several() -> None:
    for form in ("GIF", "WEBP", "PNG", "TIFF"):
        out = io.BytesIO()
        frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
        frames[0].save(out, form, save_all=True, append_images=frames[1:])
        red, green, blue = np.asarray(read(out.getvalue())).mean((0, 1))
        assert red > 200 and green < 50 and blue < 50, form


def test_colour_spaces() -> None:
    """Expected values by hand: CMYK (0, 255, 255, 0) is red; a palette with a transparent entry
    keeps its colours."""
    for form in ("TIFF", "JPEG"):
        out = io.BytesIO()
        Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(out, form)
        assert np.abs(np.asarray(read(out.getvalue())).astype(int) - [255, 0, 0]).max() < 6
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    out = io.BytesIO()
    image.save(out, "PNG", transparency=b"\0\x80")
    assert (np.asarray(read(out.getvalue())) == [10, 200, 30]).all()
    out = io.BytesIO()
    Image.new("LA", (8, 8), (77, 0)).save(out, "PNG")
    assert (np.asarray(read(out.getvalue())) == 77).all()


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_more_than_8_bits(kind: type) -> None:
    out = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), dtype=kind)).save(out, "TIFF")
    with pytest.raises(DataError, match=r"x\.png must be an 8-bit grey or colour image; got mode"):
        read(out.getvalue())


def bomb(width: int, height: int) -> bytes:
    """A PNG of some bytes that claims many pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        ends = struct.pack(">I", len(body)), struct.pack(">I", zlib.crc32(name + body))
        return ends[0] + name + body + ends[1]

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


DAMAGED = {
    "empty": b"",
    "nul": b"\0",
    "text": b"hello",
    "cut": png()[:40],
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "bomb": bomb(60000, 60000),
    "no pixels": bomb(0, 5),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_damaged_images(tmp_path: Path, how: str) -> None:
    image_tree(tmp_path, {"cat": 2, "dog": 2})
    for name in ("cat/0", "cat/1", "dog/0", "dog/1"):
        (tmp_path / f"{name}.png").write_bytes(DAMAGED[how])
    part = open_data(tmp_path).train
    message = r"cat.\d\.png cannot be read as an image: .*Repair or remove it"
    with pytest.raises(DataError, match=message) as raised:
        part.image(0)
    assert "\n" not in str(raised.value)
    with pytest.raises(DataError, match=r"png cannot be read as an image"):
        decoded(part, 8, folder=tmp_path / "cache", workers=2)
