"""Weights of other programs, by torch or safetensors, on this disk: nothing is fetched."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from evaluator.training.weights.state import UNREADABLE
from space.common.files import check_regular
from space.common.text import shorten

WRAPPERS = ("state_dict", "model")  # keys below which training scripts store the tensors


def file_digest(path: Path) -> str:
    """A short hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, or of what `torch.save` wrote, by name.

    Raises:
        ValueError: the file is damaged or holds something else; one line that begins with it.
        OSError: it cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    check_regular(path)
    content = path.read_bytes()
    try:
        if path.suffix == ".safetensors":
            return dict(load(content))
        # Only tensors and plain values are read: a file cannot run code.
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (*UNREADABLE, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{path} must hold weights, as torch.save or safetensors writes a state_dict; it is "
            f"damaged or of another kind ({shorten(reason)})"
        ) from None
    for name in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items()
    ):
        raise ValueError(f"{path} must hold a state_dict, names with tensors; got something else")
    return dict(found)


def check_finite(path: Path, state: Mapping[str, Tensor]) -> None:
    """ValueError if a tensor has a value that is no finite number."""
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"{path}: tensor {shorten(name)} must be finite; it has NaN or infinity"
            )


def check_tensors(path: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """ValueError if the tensors of a file are not those of a model: their names and shapes. Counts
    of batches, which old versions of torch did not store, may be missing."""
    for name in sorted(state.keys() | expected.keys()):
        if name.endswith("num_batches_tracked") and name not in state:
            continue
        must, got = (_shape(each.get(name)) for each in (expected, state))
        if must != got:
            raise ValueError(f"{path}: tensor {shorten(name)} must be {must}; got {got}")
    check_finite(path, state)


def _shape(value: Tensor | None) -> str:
    return "absent" if value is None else str(list(value.shape))


def load_strictly(module: nn.Module, path: Path) -> None:
    """Load the tensors of a file, which must be those of the module.

    Raises:
        ValueError: they are others.
        OSError: the file cannot be read.
    """
    state = read_state(path)
    check_tensors(path, state, module.state_dict())
    module.load_state_dict(state)


def hub_file(url: str) -> Path:
    """Where torch.hub, and so torchvision, keeps what it has fetched from a URL."""
    return (
        Path(torch.hub.get_dir()) / "checkpoints" / re.sub(r"[?#].*", "", url.rpartition("/")[2])
    )


def needed_file(path: Path, option: str, what: str, source: str) -> Path:
    """`path`, if it is there.

    Raises:
        ValueError: it is not; says where the weights come from and where they belong.
    """
    if not path.is_file():
        raise ValueError(
            f"{option} needs the weights of {what} on this disk, as nothing is fetched: copy "
            f"{source} to {path}"
        )
    return path
