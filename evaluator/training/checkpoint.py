"""What a training leaves: a checkpoint to go on from, weights to use, and a log."""

from __future__ import annotations

import csv
import datetime
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evaluator.training.batches import MEAN, STD
from evaluator.training.loop import Epoch, Training
from evaluator.training.recipe import Recipe
from evaluator.training.source import read_metadata
from space.common.files import write_atomic
from space.common.provenance import commit, versions

CHECKPOINT, LAST, BEST, LOG = "checkpoint.pt", "last.safetensors", "best.safetensors", "log.csv"
PACKAGES = ("torch", "torchvision", "numpy", "pillow", "safetensors")
SCHEMA = 1


def identity(
    architecture: str, recipe: Recipe, *, seed: int, classes: Sequence[str], data: str, amp: bool
) -> dict[str, Any]:
    """What makes two trainings one and the same; `data` is the data set's key."""
    return {
        "architecture": architecture,
        "recipe": recipe.record(),
        "seed": seed,
        "classes": list(classes),
        "data": data,
        "amp": amp,
    }


def save_checkpoint(path: Path, training: Training, mine: Mapping[str, Any]) -> None:
    """Replace the checkpoint, whole or not at all."""
    out = io.BytesIO()
    torch.save({"schema": SCHEMA, "identity": dict(mine), **training.state()}, out)
    write_atomic(path, out.getvalue())


def load_checkpoint(path: Path, training: Training, mine: Mapping[str, Any]) -> None:
    """Go on from a checkpoint.

    Raises:
        ValueError: it is damaged, or of a training that is not this one; says in what.
    """
    advice = "Choose another --out, or --fresh to start over"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        theirs = dict(state["identity"])
        schema = state["schema"]
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        first = " ".join(str(error).split())[:80]
        raise ValueError(f"{path} is no checkpoint of this program: {first}. {advice}") from None
    other = [_difference(n, theirs.get(n), v) for n, v in mine.items() if theirs.get(n) != v]
    if schema != SCHEMA:
        other.append(f"schema: {schema} there, {SCHEMA} here")
    if other:
        raise ValueError(f"{path} is of another training ({'; '.join(other)}). {advice}")
    training.load(state)


def _difference(name: str, there: Any, here: Any) -> str:
    if isinstance(there, dict) and isinstance(here, dict):
        pairs = [(k, there.get(k), v) for k, v in here.items() if there.get(k) != v]
        return ", ".join(f"{k}: {a} there, {b} asked for" for k, a, b in pairs)
    if name == "data":
        return "the images or their split have changed"
    if name == "classes":
        return f"{len(there or ())} classes there, {len(here)} in the data"
    return f"{name}: {there} there, {here} asked for"


def weights_metadata(
    training: Training, mine: Mapping[str, Any], entry: Epoch, *, data: str, **more: Any
) -> dict[str, Any]:
    """What weights say about themselves, for whoever exports them."""
    network = training.network
    return {
        **mine,
        "data": data,
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
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **more,
    }


def save_weights(path: Path, weights: Mapping[str, Tensor], told: Mapping[str, Any]) -> None:
    """Write a .safetensors, its story under the one key "g4nas"."""
    from safetensors.torch import save

    kept = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    write_atomic(path, save(kept, {"g4nas": json.dumps(told)}))


def load_weights(
    path: Path, training: Training, architecture: str, classes: Sequence[str]
) -> None:
    """Start from trained weights.

    Raises:
        ValueError: they are of another architecture, input or classes.
    """
    from safetensors.torch import load_file

    told = read_metadata(path)
    if told.get("architecture") != architecture:
        raise ValueError(
            f"{path} is of another architecture: {told.get('architecture')}; "
            f"asked for: {architecture}"
        )
    if len(told.get("classes", ())) != len(classes):
        raise ValueError(
            f"the classifier of {path} is for {len(told.get('classes', ()))} classes; the data "
            f"has {len(classes)}. Train without --weights, or take data of the same classes"
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
