"""Which network to train: a line of the space, what a search wrote, a trained file, a zoo name.
And what a training leaves: weights, with all that a program needs to use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.files import check_regular
from space.common.schema import (
    Integer,
    Items,
    Maybe,
    Number,
    Record,
    Text,
    check,
    parse_json,
    read_json,
)
from space.common.text import shorten
from space.network.network import Network
from space.network.resize import on_input
from space.zoo.catalog import known_networks, published_network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from space.network.torch_module import NetworkModule

SUFFIX = ".safetensors"
_NAMED = Record({"name": Text(), "architecture": Text()}, ("name", "architecture"))
WINNERS = Record(
    {"winners": Items(_NAMED), "baseline": Maybe(_NAMED)},
    required=("winners",),
)
# Of any weights of this project: a search writes the architecture alone, beside weights that are
# initialised.
METADATA = Record({"architecture": Text()}, required=("architecture",))
_CHANNELS = Items(Number(), least=1, most=64)
TRAINED = Record(
    {
        "architecture": Text(),
        "input": Items(Integer(1, 65_536), least=3, most=3),
        "classes": Items(Text(), least=1, most=1_000_000),
        "mean": _CHANNELS,
        "std": _CHANNELS,
        "recipe": Record({"drop": Maybe(Integer(0, 2))}),
        "blocks": Items(Text(), least=1, most=1000),
        "epoch": Integer(0),
        "test_accuracy": Number(0, 100),
        "test_loss": Maybe(Number()),
    },
    required=("architecture", "input", "classes", "mean", "std", "recipe"),
)


def read_network(text: str) -> Network:
    """The network that `text` names, at its published input; its name is the architecture.

    `text` is a line of the space, a name of `space.zoo`, winners.json of `search.run` (its first
    winner, or the baseline if there is none; winners.json:NAME for another), or a .safetensors
    that `evaluator.train` wrote.

    Raises:
        ValueError: it is none of these; the message names the fault.
        OSError: a file cannot be read.
    """
    if not text.split():
        raise ValueError("ARCH must be an architecture; got nothing")
    path, _, name = text.partition(".json:")
    if name or text.endswith(".json"):
        file = Path(path + ".json" if name else text)
        architecture = _winner(file, name)
        with _about(file):
            return named_network(architecture)
    if text.endswith(SUFFIX):
        architecture = read_metadata(Path(text))["architecture"]
        with _about(Path(text)):
            return named_network(architecture)
    return named_network(text, kinds=f", winners.json of a search, a trained {SUFFIX}")


def named_network(text: str, *, kinds: str = "") -> Network:
    """The network of a line of the space or of a name of `space.zoo`, at its published input.

    Args:
        kinds: what else the user may give, for the message.

    Raises:
        ValueError: there is no such network.
    """
    space = ShuffleNetV2Space()
    if text.split()[:1] == [space.name]:
        return space.lower(space.parse(text))
    if text in known_networks():
        return published_network(text).network()
    known = ", ".join(list(known_networks())[:6])
    raise ValueError(
        f"ARCH must be a line that begins with {space.name}{kinds}, or a network of space.zoo "
        f"({known}, ...); got {shorten(text)}"
    )


def _winner(path: Path, name: str) -> str:
    record = read_json(path, WINNERS)
    # Where no network beats the baseline, the baseline is the answer.
    rows = record["winners"] or filter(None, [record.get("baseline")])
    found = {row["name"]: row["architecture"] for row in rows}
    if not found or (name and name not in found):
        names = shorten(", ".join(found) or "none", 300).strip("'")
        raise ValueError(f"{path} has the winners {names}; got {shorten(name)}")
    return str(found[name] if name else next(iter(found.values())))


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Begin the message of a ValueError with the file."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class TrainedWeights:
    """Weights of a training, and what is needed to use them.

    Args:
        network: on the input and for the classes that it was trained on.
        weights: name of the tensor -> its values, as `state_dict()` of the module has them.
        classes: names, in the order of the logits.
        mean: of each channel, of pixels in 0..1; the input is (pixels - mean) / std.
        metadata: everything that the file says of itself.
    """

    path: Path
    network: Network
    weights: Mapping[str, NDArray[np.generic]]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    metadata: Mapping[str, Any]

    @property
    def architecture(self) -> str:
        """A line of the space, or a name of `space.zoo`."""
        return self.network.name

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.network.input_shape

    def module(self) -> NetworkModule:
        """The torch module with these weights, in eval mode."""
        import torch

        from space.network.torch_module import build_module

        module = build_module(self.network)
        arrays = {name: torch.from_numpy(value.copy()) for name, value in self.weights.items()}
        module.load_state_dict(arrays)
        return module


def read_trained(path: Path) -> TrainedWeights:
    """Weights that a training wrote (last.safetensors, best.safetensors, training/*.safetensors).

    Raises:
        ValueError: the file is damaged or of another program, its metadata are not those of a
            training, its tensors are not those of its network, or one is not finite; one line
            that begins with the file.
        OSError: it cannot be read.
    """
    metadata = read_metadata(path)
    if "input" not in metadata and "weights" in metadata:
        raise ValueError(
            f"{path} must hold trained weights; these are {shorten(metadata['weights'])}: train "
            "the network with evaluator.train"
        )
    source = f"{path}, metadata"
    check(metadata, TRAINED, source=source)
    channels, height, width = metadata["input"]
    classes = tuple(metadata["classes"])
    with _about(path):
        published = named_network(metadata["architecture"])
        drop = metadata["recipe"].get("drop")
        network = on_input(
            published, height, width, classes=len(classes), drop=drop, channels=channels
        )
    if metadata.get("blocks", found := [str(block) for block in network.blocks]) != found:
        raise ValueError(f"{source}: `blocks` must be those of `architecture`; they are others")
    for name in ("mean", "std"):
        if len(metadata[name]) != channels or (name == "std" and min(metadata[name]) <= 0):
            raise ValueError(
                f"{source}: `{name}` must be {channels} numbers, those of `std` above 0; "
                f"got {shorten(metadata[name])}"
            )
    return TrainedWeights(
        path=path,
        network=network,
        weights=_read_tensors(path, network),
        classes=classes,
        mean=tuple(map(float, metadata["mean"])),
        std=tuple(map(float, metadata["std"])),
        metadata=metadata,
    )


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of weights of this project, trained or not; `architecture` is a text.

    Raises:
        ValueError: the file is damaged or of another program; one line that begins with it.
        OSError: it cannot be read.
    """
    with _weights_file(path) as file:
        text = (file.metadata() or {}).get("g4nas")
    if text is None:
        raise ValueError(
            f"{path} must be weights that this program wrote; it has no such metadata"
        )
    source = f"{path}, metadata"
    return dict(check(parse_json(text, source=source), METADATA, source=source))


@contextmanager
def _weights_file(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    check_regular(path)
    try:
        with safe_open(path, "np") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(
            f"{path} must be weights that this program wrote; it is damaged or of another "
            f"program ({shorten(str(error))})"
        ) from None


def _read_tensors(path: Path, network: Network) -> dict[str, NDArray[np.generic]]:
    """The tensors of a file, once names, shapes and types are those of the network's module."""
    import numpy as np
    import torch

    from space.network.torch_module import NetworkModule

    with torch.device("meta"):
        module = NetworkModule(network)
    expected = {
        name: ("I64" if value.dtype == torch.int64 else "F32", list(value.shape))
        for name, value in module.state_dict().items()
    }
    with _weights_file(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}
        stored = {name: (each.get_dtype(), each.get_shape()) for name, each in slices.items()}
        for name in sorted(stored.keys() | expected.keys()):
            if stored.get(name) != expected.get(name):
                must, got = (_shape(each.get(name)) for each in (expected, stored))
                raise ValueError(
                    f"{path}: tensor {shorten(name)} of {shorten(network.name)} must be {must}; "
                    f"got {got}"
                )
        arrays = {name: file.get_tensor(name) for name in expected}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{path}: tensor {name} must be finite; it has NaN or infinity")
    return arrays


def _shape(kind: tuple[str, list[int]] | None) -> str:
    return "absent" if kind is None else f"{kind[0]} {kind[1]}"
