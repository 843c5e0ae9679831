"""Names of files and folders: which part of a data set they stand for, and which are no data."""

from __future__ import annotations

import re
from typing import NamedTuple

TRAIN, VALIDATION, TEST = "train", "validation", "test"
# The words of the Hugging Face hub, and those with "set".
WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "trainingset", "trainval"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev", "valset", "validationset"), VALIDATION),
    **dict.fromkeys(("test", "testing", "testset", "eval", "evaluation"), TEST),
}
# Words beside a split's that say nothing more.
FILLERS = {"set", "split", "part", "data", "dataset", "images", "imgs", "of"}
# What systems, file servers and notebooks leave, beside names that begin with a dot.
LEFTOVERS = {
    "@eadir", "#recycle", "@recycle", "__macosx", "__pycache__", "$recycle.bin", "thumbs.db",
    "desktop.ini", "lost+found", "system volume information",
}  # fmt: skip


class SplitName(NamedTuple):
    """What a name says. `part`: TRAIN, VALIDATION or TEST, "" for none; `plain`: it says nothing
    else, as `Train` or `test_images` do and `bullet_train` does not; `several`: more than one."""

    part: str
    plain: bool
    several: bool = False


def split_name(name: str) -> SplitName:
    """The part that a name stands for: one of its words is that of a split, in any case. Words end
    at every character that is no letter, and before a capital after a small letter.

    Example:
        >>> split_name("cifar-Test").part, split_name("latest").part
        ('test', '')
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", apart)]
    parts = {WORDS[word] for word in words if word in WORDS}
    plain = bool(parts) and all(word in WORDS or word in FILLERS for word in words)
    return SplitName(min(parts) if len(parts) == 1 else "", plain, len(parts) > 1)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is no data: it begins with a dot, or a system left
    it."""
    return name.startswith(".") or name.lower() in LEFTOVERS
