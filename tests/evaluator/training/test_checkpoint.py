"""Checkpoints that may hold anything: a whole one goes on, any other is refused in one line."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evaluator.training.loop import Training
from evaluator.training.recipes.recipe import SHORT
from evaluator.training.source import named_network
from evaluator.training.weights.checkpoint import CheckpointWriter
from space.network.resize import on_input
from tests.helpers.batches import FixedBatches
from tests.helpers.hostile import examples, mutated_bytes
from tests.helpers.images import TINY

IDENTITY = {"architecture": TINY, "recipe": {"lr": 0.2, "drop": None}, "seed": 0, "amp": False}


def new_training(**recipe: Any) -> Training:
    network = on_input(named_network(TINY), 16, 16, classes=3)
    used = SHORT.changed(input=16, batch=8, epochs=2.0, **recipe)
    return Training(network, used, 32, FixedBatches(), FixedBatches())


def writer(path: Path, training: Training | None = None) -> CheckpointWriter:
    return CheckpointWriter(training or new_training(), path, IDENTITY)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint after six steps of eight, an epoch and a half."""
    path = tmp_path_factory.mktemp("saved") / "checkpoint.pt"
    each = writer(path)
    for _ in each.training.run(steps=6):
        pass
    each.save()
    return path.read_bytes()


def state_of(saved: bytes) -> dict[str, Any]:
    return dict(torch.load(io.BytesIO(saved), weights_only=True))


def refused(path: Path) -> str:
    """The message about a checkpoint that cannot be used; the training stays as it was."""
    each = writer(path)
    before = [value.clone() for value in each.training.module.state_dict().values()]
    with pytest.raises(ValueError, match="^" + str(path)) as caught:
        each.resume()
    assert each.training.step == 0
    after = each.training.module.state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert path.exists()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1500
    return message


KEY = "blocks.0.0.conv.weight"


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s.pop("module"), "must be an object with module"),
        (lambda s: s.pop("history"), "must be an object with history"),
        (lambda s: s.update(step="6"), "`step` must be an integer of at least 0; got '6'"),
        (lambda s: s.update(step=60), "`step` must be at most 8"),
        (lambda s: s.update(step=3), "with an entry of `history` for each epoch"),
        (lambda s: s.update(history=[]), "with an entry of `history` for each epoch"),
        (lambda s: s["history"][0].pop("lr"), "must be an object with lr"),
        (lambda s: s.update(losses=[1]), "`losses` must be a list of 2 to 2 items"),
        (lambda s: s["module"].pop(KEY), "`module` must have the tensors of the network"),
        (lambda s: s["module"].update({KEY: 3}), "must be a tensor (8, 3, 3, 3) of torch.float32"),
        (lambda s: s["module"].update({KEY: torch.zeros(8)}), "must be a tensor (8, 3, 3, 3)"),
        (lambda s: s["module"][KEY].fill_(torch.nan), "must be finite; it has NaN or infinity"),
        (lambda s: s.update(best={}), "`best` must have the tensors of the network"),
        (lambda s: s.update(averaged={"x": 1}), "`averaged` must have the tensors"),
        (lambda s: s["optimizer"]["state"].pop(0), "`optimizer` must have the state of"),
        (
            lambda s: s["optimizer"]["state"][0].clear(),
            "`optimizer.state.0` must have",
        ),
        (lambda s: s.update(optimizer=[]), "`optimizer` must be an object"),
        (lambda s: s.update(scaler={"scale": 1.0}), "`scaler` must be that of the same --amp"),
        (lambda s: s.update(identity=7), "`identity` must be an object"),
        (lambda s: s["identity"].update(seed=torch.zeros(3)), "`identity.seed` must be"),
    ],
)
def test_content_of_a_wrong_kind(
    saved: bytes, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    path, state = tmp_path / "checkpoint.pt", state_of(saved)
    change(state)
    torch.save(state, path)
    said = refused(path)
    assert message in said
    assert "Delete it and train again, or choose another --out" in said


def test_another_training_and_another_version(saved: bytes, tmp_path: Path) -> None:
    path, state = tmp_path / "checkpoint.pt", state_of(saved)
    state["identity"]["seed"] = 5
    torch.save(state, path)
    assert "is of another training (seed: stored 5, requested 0). Choose another" in refused(path)
    torch.save({"schema": 2, "whatever": 1}, path)
    assert "is of another version of this program (schema: stored 2, expected 1)" in refused(path)


def test_files_of_another_kind(saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    for content in (b"", b"x", pickle.dumps({"step": 1}), saved[:-1], saved[: len(saved) // 2]):
        path.write_bytes(content)
        assert "is no checkpoint of this program, or damaged" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    assert "is no checkpoint of this program, or damaged" in refused(path)
    torch.save([1, 2], path)
    assert "the content must be an object" in refused(path)
    path.unlink()
    os.mkfifo(path)
    assert "must be a file; it is a pipe" in refused(path)


def test_no_code_runs(tmp_path: Path) -> None:
    """A pickle that names a function is refused, not run."""

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "made"),)

    path = tmp_path / "checkpoint.pt"
    torch.save({"schema": 1, "identity": Evil()}, path)
    assert "is no checkpoint of this program, or damaged" in refused(path)
    assert not (tmp_path / "made").exists()


def test_a_changed_weight_is_found(saved: bytes, tmp_path: Path) -> None:
    """One bit within a tensor: torch alone would load it."""
    path = tmp_path / "checkpoint.pt"
    weight = state_of(saved)["module"]["blocks.0.0.bn.weight"].numpy().tobytes()
    place = saved.index(weight)
    path.write_bytes(saved[:place] + bytes([saved[place] ^ 1]) + saved[place + 1 :])
    changed = torch.load(path, weights_only=True)["module"]["blocks.0.0.bn.weight"]
    assert changed.numpy().tobytes() != weight
    assert "the checksum of" in refused(path)


def test_a_checkpoint_of_an_earlier_version_goes_on(saved: bytes, tmp_path: Path) -> None:
    """Without the processor time, which the first ones had not; to the same bits."""
    path, state = tmp_path / "checkpoint.pt", state_of(saved)
    del state["cpu_s"]
    torch.save(state, path)
    each = writer(path)
    assert each.resume()
    whole = new_training()
    for training in (each.training, whole):
        for _ in training.run():
            pass
    ours, theirs = each.training.module.state_dict(), whole.module.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_what_is_damaged_may_be_replaced(saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(saved[:100])
    assert not writer(path).resume(replace=True)
    assert not path.exists()


@examples(40)
@given(data=st.data())
def test_property_bytes(
    data: st.DataObject, saved: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A mutated file is refused, or holds the state that was saved."""
    path = tmp_path_factory.mktemp("bytes") / "checkpoint.pt"
    # Most of the file is weights; half of the mutations meet what leads to them.
    cut = data.draw(st.sampled_from((0, 3000, len(saved) - 3000)))
    path.write_bytes(saved[:cut] + data.draw(mutated_bytes(saved[cut:])))
    _resumes_or_refuses(path)


HOSTILE = (None, True, -1, 1e300, float("nan"), "x", [], {}, [[1]], {"a": None}, 2**70)


@examples(30)
@given(data=st.data())
def test_property_content(
    data: st.DataObject, saved: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any field replaced by another kind of value, or removed."""
    path, state = tmp_path_factory.mktemp("content") / "checkpoint.pt", state_of(saved)
    parent: Any = state
    key = data.draw(st.sampled_from(sorted(parent)))
    while isinstance(inner := parent[key], dict | list) and inner and data.draw(st.booleans()):
        parent = inner
        names = range(len(inner)) if isinstance(inner, list) else list(inner)
        key = data.draw(st.sampled_from(names))
    if data.draw(st.booleans()):
        del parent[key]
    else:
        parent[key] = data.draw(st.sampled_from((*HOSTILE, torch.zeros(2), torch.tensor(3))))
    torch.save(state, path)
    _resumes_or_refuses(path)


def _resumes_or_refuses(path: Path) -> None:
    each = writer(path)
    try:
        each.resume()
    except ValueError as error:
        assert str(error).startswith(str(path)), error
        assert "\n" not in str(error)
        return
    assert each.training.step == 6
    for _ in each.training.run():
        pass
    assert each.training.finite()
