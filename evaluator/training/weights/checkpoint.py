"""The files of a training: a checkpoint to resume from, weights to use, and a log."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evaluator.data.dataset import Dataset
from evaluator.training.epoch import Epoch
from evaluator.training.images.batches import statistics
from evaluator.training.loop import Training
from evaluator.training.source import TrainedWeights
from evaluator.training.weights.state import SCHEMA, check_state, damaged, read_checkpoint
from space.common.errors import DivergedError
from space.common.files import check_regular, write_atomic
from space.common.provenance import commit, now_utc, versions
from space.common.text import shorten

CHECKPOINT, LAST, BEST, LOG = "checkpoint.pt", "last.safetensors", "best.safetensors", "log.csv"
SAVE_S = 60.0
UNSAVED = "Nothing was written yet"


def identity(
    training: Training, classes: Sequence[str], data: str, *, start: str = ""
) -> dict[str, Any]:
    """What two trainings must have in common to be the same one.

    Args:
        data: the key of the images.
        start: the digest of torchvision's weights, if it starts from them.
    """
    teacher = {} if training.teacher is None else {"teacher": training.teacher.record()}
    return {
        "architecture": training.network.name,
        "recipe": training.recipe.record(),
        "seed": training.seed,
        "classes": list(classes),
        "data": data,
        "amp": training.amp,
        **teacher,
        **({"start": start} if start else {}),
    }


class CheckpointWriter:
    """Reads and writes the checkpoint of one training; of several processes, the first writes.

    Args:
        identity: of the training, by `identity`.
        every_s: seconds from one checkpoint to the next within an epoch.
        each_epoch: save one after each epoch too, however soon.
    """

    def __init__(
        self,
        training: Training,
        path: Path,
        identity: Mapping[str, Any],
        *,
        every_s: float = SAVE_S,
        each_epoch: bool = True,
    ) -> None:
        self.training, self.path, self.identity = training, path, identity
        self.every_s, self.each_epoch, self._saved = every_s, each_epoch, time.monotonic()

    def resume(self, *, replace: bool = False) -> bool:
        """Bring the training to the state of the checkpoint; False if there is none.

        Args:
            replace: whether to remove a checkpoint that is damaged or of another training.

        Raises:
            ValueError: it is one of these, and `replace` is False; the message says what differs
                and what to do.
            OSError: it cannot be read.
        """
        if not self.path.exists():
            return False
        check_regular(self.path)
        try:
            self.training.load(self._read())
        except ValueError:
            if not replace:
                raise
            self.path.unlink()
            return False
        return True

    def _read(self) -> dict[str, Any]:
        state = read_checkpoint(self.path)
        stored = state["identity"]
        differences = [
            _difference(name, stored.get(name), self.identity.get(name))
            for name in {**self.identity, **stored}
            if stored.get(name) != self.identity.get(name)
        ]
        if differences:
            found = "; ".join(differences)
            raise ValueError(
                f"{self.path} is of another training ({found}). Choose another --out, or --fresh "
                "to start over"
            )
        try:
            check_state(state, self.training)
        except ValueError as error:
            raise damaged(self.path, error) from None
        return state

    def save(self) -> None:
        """Replace the checkpoint atomically, if this is the first process.

        Raises:
            DivergedError: a weight is not a finite number; the last good checkpoint stays.
        """
        if not self.training.share.rank:
            self.check_finite()
            out = io.BytesIO()
            state = {"schema": SCHEMA, "identity": dict(self.identity), **self.training.state()}
            torch.save(state, out)
            write_atomic(self.path, out.getvalue())
            self._saved = time.monotonic()

    def step_done(self) -> None:
        """`save` after an epoch, and every `every_s` seconds. Call it after each step."""
        due = time.monotonic() - self._saved >= self.every_s
        if due or (self.each_epoch and self.training.epoch_ended):
            self.save()

    def check_finite(self) -> None:
        """DivergedError if a weight is not a finite number."""
        if not self.training.finite():
            raise DivergedError(
                f"training diverged at step {self.training.step} (non-finite weight): lower --lr"
            )

    @property
    def saved_text(self) -> str:
        """A sentence for messages: where the work so far is."""
        return f"What was done before is in {self.path}" if self.path.exists() else UNSAVED


def _difference(name: str, stored: Any, expected: Any) -> str:
    if isinstance(stored, dict) and isinstance(expected, dict):
        pairs = [(k, stored.get(k), v) for k, v in expected.items() if stored.get(k) != v]
        return ", ".join(f"{k}: stored {_named(a)}, requested {_named(b)}" for k, a, b in pairs)
    if name == "teacher":
        one, other = (
            "none"
            if each is None
            else each.get("digest")
            if isinstance(each, dict)
            else shorten(each)
            for each in (stored, expected)
        )
        return f"teacher: stored {one}, requested {other}"
    if name == "data":
        return "the images or their split have changed"
    if name == "classes":
        count = len(stored) if isinstance(stored, list) else "no"
        return f"stored {count} classes, {len(expected)} in the data"
    return f"{name}: stored {_named(stored)}, requested {_named(expected)}"


def _named(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= 300 else shorten(value)


def weights_metadata(
    training: Training, expected: Mapping[str, Any], data: Dataset
) -> dict[str, Any]:
    """The metadata of weights after the training's last epoch, for their export. `expected`: the
    training's identity."""
    network, entry = training.network, training.history[-1]
    mean, std = statistics(training.recipe.channels)
    taught = {}
    if training.teacher is not None:
        taught = {"teacher": {"name": training.teacher.name, **training.teacher.record()}}
    return {
        **expected,
        **taught,
        "data": data.name,
        "input": list(network.input_shape),
        "blocks": [str(block) for block in network.blocks],
        "flops": network.flops,
        "params": network.params,
        "mean": list(mean),
        "std": list(std),
        "epoch": entry.epoch,
        "test_accuracy": entry.test_accuracy,
        # JSON has no NaN; a network whose sums overflow has such a loss.
        "test_loss": entry.test_loss if math.isfinite(entry.test_loss) else None,
        "device": training.device,
        "threads": torch.get_num_threads(),
        "processes": training.share.world,
        "versions": versions("torch", "torchvision", "numpy", "pillow", "safetensors"),
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
    """Write the last weights, the best ones if they are the last, and log.csv, an epoch a row."""
    metadata = weights_metadata(training, expected, data)
    save_weights(folder / LAST, training.weights(), metadata)
    best = max(training.history, key=lambda entry: (entry.test_accuracy, -entry.step))
    if best is training.history[-1]:
        save_weights(folder / BEST, training.best, metadata)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(Epoch.__slots__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(epoch) for epoch in training.history)
    write_atomic(folder / LOG, out.getvalue())


def load_weights(start: TrainedWeights, training: Training, classes: Sequence[str]) -> None:
    """Start from trained weights.

    Raises:
        ValueError: they are of another architecture, or for another number of classes.
    """
    name, count = training.network.name, len(start.classes)
    if start.architecture != name:
        raise ValueError(
            f"{start.path} is of another architecture: {start.architecture}; requested: {name}"
        )
    if count != len(classes):
        raise ValueError(
            f"the classifier of {start.path} is for {count} classes; the data has {len(classes)}. "
            "Train without --weights, or take data of the same classes"
        )
    arrays = {key: torch.from_numpy(value) for key, value in start.weights.items()}
    training.module.load_state_dict(arrays)
    if training.averaged:
        training.averaged = training.copied_weights()
