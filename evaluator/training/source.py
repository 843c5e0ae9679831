"""Which network to train: a line of the space, what a search wrote, a trained file, a zoo name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.network import Network
from space.zoo.catalog import published_network, published_networks


def read_network(text: str) -> Network:
    """The network that `text` names, at its published input; its name is the architecture.

    `text` is a line of the space, a name of `space.zoo`, winners.json of `search.run` (its first
    winner; winners.json:NAME for another), or a .safetensors that `evaluator.train` wrote.

    Raises:
        ValueError: it is none of these; the message names the fault.
    """
    space = ShuffleNetV2Space()
    words = text.split()
    if not words:
        raise ValueError("ARCH must be an architecture; got nothing")
    if words[0] == space.name:
        return space.lower(space.parse(text))
    path, _, name = text.partition(".json:")
    if name or text.endswith(".json"):
        return read_network(_winner(Path(path + ".json" if name else text), name))
    if text.endswith(".safetensors"):
        return read_network(read_metadata(Path(text))["architecture"])
    if text in published_networks():
        return published_network(text).network()
    known = ", ".join(list(published_networks())[:6])
    raise ValueError(
        f"ARCH must be a line that begins with {space.name}, winners.json of a search, a trained "
        f".safetensors, or a network of space.zoo ({known}, ...); got {text!r}"
    )


def _winner(path: Path, name: str) -> str:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        found = {row["name"]: row["architecture"] for row in record["winners"]}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} must be the winners.json of a search; it is not") from None
    if not found or (name and name not in found):
        raise ValueError(f"{path} has the winners {', '.join(found) or 'none'}; got {name!r}")
    return str(found[name] if name else next(iter(found.values())))


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a .safetensors of this project.

    Raises:
        ValueError: the file is damaged or of another program.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    try:
        with safe_open(path, "np") as file:
            metadata = json.loads((file.metadata() or {})["g4nas"])
    except (SafetensorError, KeyError, ValueError):
        raise ValueError(f"{path} must be weights that this program wrote; it is not") from None
    return dict(metadata)
