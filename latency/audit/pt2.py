"""Open a .pt2 file without unpickling any of it.

torch.export.load unpickles weights and constants that an archive marks as pickled, and all of an
older archive. An archive with more than raw weights and a graph is refused before that.
"""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from latency.audit.graph import first_line, quiet
from space.common.files import check_regular
from space.common.schema import Flag, Record, Text, Values, check, parse_json
from space.common.text import shorten

# Files of an archive, without its folder. sample_inputs is read with weights_only=True.
_HARMLESS = re.compile(
    r"archive_format|archive_version|byteorder|\.data/[\w.]+|models/\w+\.json|extra/.+"
    r"|data/(weights|constants)/(weight_\d+|tensor_\d+|\w+_config\.json)"
    r"|data/sample_inputs/\w+\.pt"
)
# The list of weights, and of constants, in an archive.
_ENTRY = Record({"path_name": Text(), "use_pickle": Flag()}, required=("path_name",))
_WEIGHTS = Record({"config": Values(_ENTRY)}, required=("config",))
# What zipfile raises about an archive that is cut, encrypted or packed in another way.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
MOST_TIMES = 100  # what weights can be packed to
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
    check_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names, size = archive.namelist(), sum(i.file_size for i in archive.infolist())
            configs = [n for n in names if n.endswith("_config.json")]
            if size > MOST_TIMES * path.stat().st_size:
                raise ValueError(f"{path} must not unpack to more than it is; it has {size} bytes")
            texts = {name: archive.read(name) for name in configs}
    except _DAMAGED as error:
        why = first_line(error)
        raise ValueError(f"{path} is no exported program: not an archive ({why})") from None
    inner = [name.partition("/")[2] for name in names]
    if "archive_format" not in inner:
        raise ValueError(f"{path} is no exported program of torch.export.save, 2.9 or later")
    odd = [name for name in inner if not _HARMLESS.fullmatch(name)]
    if odd or len(set(names)) != len(names):
        what = shorten(odd[0]) if odd else "a file twice"
        raise ValueError(f"{path} holds more than weights and a graph, never loaded: {what}")
    for name, text in texts.items():
        source = f"{path}: {name}"
        found = check(parse_json(text, source=source), _WEIGHTS, source=source)
        for entry in found["config"].values():
            stored = entry["path_name"]
            if entry.get("use_pickle") or not re.match("weight_|tensor_", stored):
                raise ValueError(
                    f"{path} holds pickled weights, which are never loaded: {shorten(stored)}"
                )


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
