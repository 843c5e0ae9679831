"""Weights that a training or a search wrote, exported by `python -m search.export`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from evaluator.training.source import SUFFIX, named_network, read_metadata
from search.problem.shape import IMAGENET
from search.result.export import Exported, checked_onnx, export_trained
from space.common.files import writable_folder, write_atomic
from space.common.schema import Integer, Items, Maybe, Record, Spec, Text, check, read_json
from space.common.text import shorten
from space.network.resize import on_input

FILES: dict[str, Spec] = {
    "name": Text(),
    "files": Items(Text(pattern=r"[\w.-]+", says="a file's name")),
}
WINNER_FILES = Record(
    {
        "winners": Items(Record(FILES, required=("name", "files"))),
        "baseline": Maybe(Record(FILES, required=("name",))),
    },
    required=("winners",),
)
INITIALISED = Record(
    {
        "architecture": Text(),
        "weights": Text(pattern=r"initialised, seed \d{1,10}", says="initialised, seed N"),
        "network": Record(
            {
                "input": Items(Integer(1, 65_536), least=3, most=3),
                "classes": Integer(1, 1_000_000),
            },
            required=("input", "classes"),
        ),
    },
    required=("architecture", "weights"),
)


def export_files(texts: Sequence[str], folder: Path) -> Iterable[tuple[Path, Exported]]:
    """Write an ONNX file for each; yields (file, what was written) after each is on disk.

    Args:
        texts: .safetensors of a training or of a search, or winners.json[:NAME] of a search: its
            winners' weights, or those of one; without winners, the baseline's.

    Raises:
        ValueError: a file is none of these, or two would have one name; none is written then.
        OSError: a file cannot be read or written.
    """
    paths = [path for text in texts for path in weights_files(text)]
    by_name: dict[str, Path] = {}
    for path in paths:
        other = by_name.setdefault(path.stem, path)
        if other is not path:
            raise ValueError(
                f"each FILE must have a name of its own; {other} and {path} would both be "
                f"{path.stem}.onnx: export one of them into another --out"
            )
    writable_folder(folder)
    for path in paths:
        stem = folder / path.stem
        metadata = read_metadata(path)
        if "input" not in metadata and "weights" in metadata:
            yield path, _export_initialised_file(path, stem)
        else:
            yield path, export_trained(path, stem, keep_weights=False)


def weights_files(text: str) -> list[Path]:
    """The .safetensors that a text names, as `export_files` takes it.

    Raises:
        ValueError: it is neither weights nor winners.json, or lacks the winner.
        OSError: winners.json cannot be read.
    """
    if text.endswith(SUFFIX):
        return [Path(text)]
    match = re.fullmatch(r"(.*\.json)(?::(.+))?", text, re.DOTALL)
    if not match:
        raise ValueError(
            f"FILE must be a {SUFFIX} of evaluator.train or search.run, or winners.json[:NAME]; "
            f"got {shorten(text)}"
        )
    path, name = Path(match[1]), match[2]
    record = read_json(path, WINNER_FILES)
    found = {
        row["name"]: path.parent / file
        for row in (*record["winners"], record.get("baseline") or {})
        for file in row.get("files", ())
        if file.endswith(SUFFIX)
    }
    if not found or (name is not None and name not in found):
        raise ValueError(
            f"{path} must have {'weights of a winner' if name is None else shorten(name)}; it has "
            f"{shorten(', '.join(found) or 'none', 300)}"
        )
    return list(found.values()) if name is None else [found[name]]


def _export_initialised_file(path: Path, stem: Path) -> Exported:
    """Write `stem`.onnx with the initialised weights of a search."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from space.network.torch_module import build_module

    metadata = check(read_metadata(path), INITIALISED, source=f"{path}, metadata")
    own = {
        "input": [IMAGENET.channels, IMAGENET.height, IMAGENET.width],
        "classes": IMAGENET.classes,
    }
    shape = metadata.get("network", own)
    channels, height, width = shape["input"]
    try:
        network = on_input(
            named_network(metadata["architecture"]),
            height,
            width,
            classes=shape["classes"],
            channels=channels,
            drop=0,
        )
        module = build_module(network)
        module.load_state_dict(load_file(path))
        graph_metadata = {name: metadata[name] for name in ("architecture", "weights")}
        _, graph, difference = checked_onnx(module, graph_metadata, 0)
    except (SafetensorError, RuntimeError, ValueError) as error:  # RuntimeError: other tensors
        raise ValueError(f"{path}: {shorten(str(error), 300)}") from None
    target = stem.with_name(f"{stem.name}.onnx")
    write_atomic(target, graph)
    seed = int(metadata["weights"].rpartition(" ")[2])
    weights = {"trained": False, "seed": seed, **shape, "flops": network.flops}
    return Exported(paths=(target,), weights=weights, difference=difference)
