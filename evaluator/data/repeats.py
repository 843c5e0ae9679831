"""Images that are in both parts: their test shows what was learned by heart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

# Reading more than this to compare it would hold up the training.
MOST_IMAGES, MOST_BYTES = 100_000, 256 << 20


class StoredImage(NamedTuple):
    """An image as it is stored: how many bytes, and how to get these and its name."""

    size: int
    read: Callable[[], Any]
    name: Callable[[], str]


def repeats_note(train: Sequence[StoredImage], test: Sequence[StoredImage]) -> tuple[str, ...]:
    """A note if test images are, byte for byte, training images too. Only images of equal size are
    read, and none if they are too many."""
    sizes = {image.size for image in train} & {image.size for image in test}
    train = [image for image in train if image.size in sizes]
    test = [image for image in test if image.size in sizes]
    count, total = len(train) + len(test), sum(image.size for image in (*train, *test))
    if not sizes or count > MOST_IMAGES or total > MOST_BYTES:
        return ()
    seen = {_digest(image) for image in train}
    twice = [image for image in test if _digest(image) in seen]
    if not twice:
        return ()
    return (f"{len(twice)} test images are also training images, as {twice[0].name()}",)


def _digest(image: StoredImage) -> bytes:
    return hashlib.blake2b(image.read(), digest_size=16).digest()
