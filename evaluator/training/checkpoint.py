"""The files of a training: a checkpoint to resume from, weights to use, and a log."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evaluator.data.dataset import Dataset
from evaluator.training.batches import MEAN, STD
from evaluator.training.loop import Epoch, Training
from evaluator.training.recipe import Recipe
from evaluator.training.source import read_metadata
from space.common.files import write_atomic
from space.common.provenance import commit, now_utc, versions

CHECKPOINT, LAST, BEST, LOG = "checkpoint.pt", "last.safetensors", "best.safetensors", "log.csv"
PACKAGES = ("torch", "torchvision", "numpy", "pillow", "safetensors")
SCHEMA = 1


def identity(
    architecture: str, recipe: Recipe, *, seed: int, classes: Sequence[str], data: str, amp: bool
) -> dict[str, Any]:
    """What two trainings must have in common to be the same one. `data`: the data set's key."""
    return {
        "architecture": architecture,
        "recipe": recipe.record(),
        "seed": seed,
        "classes": list(classes),
        "data": data,
        "amp": amp,
    }


def save_checkpoint(path: Path, training: Training, expected: Mapping[str, Any]) -> None:
    """Replace the checkpoint atomically. `expected`: the training's identity."""
    out = io.BytesIO()
    torch.save({"schema": SCHEMA, "identity": dict(expected), **training.state()}, out)
    write_atomic(path, out.getvalue())


def load_checkpoint(path: Path, training: Training, expected: Mapping[str, Any]) -> None:
    """Bring a training to the state of a checkpoint. `expected`: the training's identity.

    Raises:
        ValueError: it is damaged, or of another training; the message says what differs.
    """
    advice = "Choose another --out, or --fresh to start over"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        stored, schema = dict(state["identity"]), state["schema"]
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        first = " ".join(str(error).split())[:80]
        raise ValueError(f"{path} is no checkpoint of this program: {first}. {advice}") from None
    differences = [
        _difference(name, stored.get(name), value)
        for name, value in expected.items()
        if stored.get(name) != value
    ]
    if schema != SCHEMA:
        differences.append(f"schema: stored {schema}, expected {SCHEMA}")
    if differences:
        raise ValueError(f"{path} is of another training ({'; '.join(differences)}). {advice}")
    training.load(state)


def _difference(name: str, stored: Any, expected: Any) -> str:
    if isinstance(stored, dict) and isinstance(expected, dict):
        pairs = [(k, stored.get(k), v) for k, v in expected.items() if stored.get(k) != v]
        return ", ".join(f"{k}: stored {a}, requested {b}" for k, a, b in pairs)
    if name == "data":
        return "the images or their split have changed"
    if name == "classes":
        return f"stored {len(stored or ())} classes, {len(expected)} in the data"
    return f"{name}: stored {stored}, requested {expected}"


def weights_metadata(
    training: Training, expected: Mapping[str, Any], data: Dataset
) -> dict[str, Any]:
    """The metadata of weights after the training's last epoch, for their export. `expected`: the
    training's identity."""
    network, entry = training.network, training.history[-1]
    return {
        **expected,
        "data": data.name,
        "input": list(network.input_shape),
        "blocks": [str(block) for block in network.blocks],
        "flops": network.flops,
        "params": network.params,
        "mean": list(MEAN),
        "std": list(STD),
        "epoch": entry.epoch,
        "test_accuracy": entry.test_accuracy,
        "test_loss": entry.test_loss,
        "device": training.device,
        "threads": torch.get_num_threads(),
        "processes": training.share.world,
        "versions": versions(*PACKAGES),
        "commit": commit(),
        "date": now_utc(),
        "split": data.split,
    }


def save_weights(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write a .safetensors, with its metadata under the one key "g4nas"."""
    from safetensors.torch import save

    arrays = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    write_atomic(path, save(arrays, {"g4nas": json.dumps(metadata)}))


def save_epoch(
    folder: Path, training: Training, expected: Mapping[str, Any], data: Dataset
) -> None:
    """Write the last weights, the best ones if they are the last, and the log."""
    metadata = weights_metadata(training, expected, data)
    save_weights(folder / LAST, training.weights(), metadata)
    best = max(training.history, key=lambda entry: (entry.test_accuracy, -entry.step))
    if best is training.history[-1]:
        save_weights(folder / BEST, training.best, metadata)
    write_log(folder / LOG, training.history)


def load_weights(
    path: Path, training: Training, architecture: str, classes: Sequence[str]
) -> None:
    """Start from trained weights.

    Raises:
        ValueError: they are of another architecture, input or classes.
    """
    from safetensors.torch import load_file

    metadata = read_metadata(path)
    stored, count = metadata.get("architecture"), len(metadata.get("classes", ()))
    if stored != architecture:
        raise ValueError(f"{path} is of another architecture: {stored}; requested: {architecture}")
    if count != len(classes):
        raise ValueError(
            f"the classifier of {path} is for {count} classes; the data has {len(classes)}. "
            "Train without --weights, or take data of the same classes"
        )
    training.module.load_state_dict(load_file(path))
    if training.averaged:
        state = training.module.state_dict()
        training.averaged = {name: value.clone() for name, value in state.items()}


def write_log(path: Path, history: Sequence[Epoch]) -> None:
    """log.csv: an epoch a row."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(Epoch.__slots__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(epoch) for epoch in history)
    write_atomic(path, out.getvalue())
