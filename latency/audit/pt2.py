"""Open a .pt2 file without unpickling any of it.

torch.export.load unpickles weights and constants that an archive marks as pickled, and all of an
older archive. An archive with more than raw weights and a graph is refused before that.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from latency.audit.graph import quiet

# Files of an archive, without its folder. sample_inputs is read with weights_only=True.
_HARMLESS = re.compile(
    r"archive_format|archive_version|byteorder|\.data/[\w.]+|models/\w+\.json|extra/.+"
    r"|data/(weights|constants)/(weight_\d+|tensor_\d+|\w+_config\.json)"
    r"|data/sample_inputs/\w+\.pt"
)
_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def load_program(path: Path) -> Any:
    """The exported program in a file.

    Raises:
        ValueError: it is not one, or reading it needs unpickling.
    """
    import torch

    _check(path)
    with quiet(), _weights_only():
        try:
            return torch.export.load(str(path))
        except Exception as error:
            why = str(error).strip().splitlines()
            raise ValueError(
                f"{path} is no exported program of this torch ({torch.__version__}): "
                f"{why[0] if why else type(error).__name__}"
            ) from None


def _check(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            inner = [name.partition("/")[2] for name in names]
            odd = [name for name in inner if not _HARMLESS.fullmatch(name)]
            configs = [archive.read(n) for n in names if n.endswith("_config.json")]
    except zipfile.BadZipFile:
        raise ValueError(f"{path} is no exported program: not an archive") from None
    if "archive_format" not in inner:
        raise ValueError(f"{path} is no exported program of torch.export.save, 2.9 or later")
    if odd or len(set(names)) != len(names):
        raise ValueError(f"{path} holds more than weights and a graph, never loaded: {odd[:3]}")
    try:
        entries = [entry for text in configs for entry in json.loads(text)["config"].values()]
        pickled = [entry["path_name"] for entry in entries if entry.get("use_pickle")]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(f"{path} is no exported program: malformed list of weights") from None
    pickled += [e["path_name"] for e in entries if not re.match("weight_|tensor_", e["path_name"])]
    if pickled:
        raise ValueError(f"{path} holds pickled weights, which are never loaded: {pickled[:3]}")


@contextmanager
def _weights_only() -> Iterator[None]:
    before = os.environ.get(_FORCE)
    os.environ[_FORCE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FORCE]
        else:
            os.environ[_FORCE] = before
