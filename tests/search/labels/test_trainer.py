"""One training of a label: it resumes, stops early, diverges, and leaves its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from evaluator.data.open import open_data
from evaluator.training.loop import Training
from evaluator.training.recipes.recipe import SHORT, Recipe
from evaluator.training.source import read_metadata, read_network
from evaluator.training.weights.checkpoint import CHECKPOINT
from search.labels.trainer import LabelTrainer, TrainingJob
from space.common.errors import NoAnswerError
from space.network.network import Network
from tests.helpers.images import TINY

pytestmark = pytest.mark.usefixtures("image_cache")
RECIPE = SHORT.changed(input=16, batch=8, epochs=3.0)  # 3 steps an epoch
VARYING = ("seconds", "date", "commit")
Row = dict[str, Any]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def trainer(small_images: Path, tmp_path: Path) -> Callable[[Recipe], LabelTrainer]:
    data = open_data(small_images)

    def make(recipe: Recipe = RECIPE) -> LabelTrainer:
        return LabelTrainer(data, data.train, data.test, recipe, "cpu", 0, tmp_path)

    return make


@pytest.fixture(scope="module")
def network() -> Network:
    return read_network(TINY)


def label(network: Network, **options: Any) -> TrainingJob:
    return TrainingJob(network, 0, "label", **options)


def facts(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in VARYING}


def stop_at(share: float) -> Callable[[float], None]:
    def progress(done: float) -> None:
        if done >= share:
            raise KeyboardInterrupt("stopped")

    return progress


def test_resumed_it_is_the_same_label(
    trainer: Callable[..., LabelTrainer], network: Network, tmp_path: Path
) -> None:
    each = trainer()
    whole = each.run(label(network, weights_path=tmp_path / "a.safetensors"))
    assert (len(whole["curve"]), whole["accuracy"]) == (3, whole["curve"][-1])
    assert (whole["diverged"], whole["pruned"], whole["purpose"]) == (False, False, "label")
    assert whole["key"] == each.key(TINY, 0)
    each.forget(TINY, 0)
    assert not (tmp_path / CHECKPOINT).exists()
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        each.run(label(network), stop_at(0.5))
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == 5
    shares: list[float] = []
    path = tmp_path / "b.safetensors"
    row = each.run(label(network, weights_path=path), shares.append)
    assert shares[0] == pytest.approx(6 / 9)
    assert facts(row) == facts(whole)
    first, second = load_file(tmp_path / "a.safetensors"), load_file(path)
    assert all(torch.equal(first[name], second[name]) for name in first)
    metadata = read_metadata(path)
    assert (metadata["architecture"], metadata["epoch"]) == (TINY, 3)
    assert metadata["test_accuracy"] == pytest.approx(row["accuracy"], abs=1e-4)


def test_a_judge_stops_it(trainer: Callable[..., LabelTrainer], network: Network) -> None:
    """After the second epoch; the judge sees the epochs before a resume, never the last one."""
    each, seen = trainer(), list[tuple[int, float]]()

    def judge(epoch: int, accuracy: float) -> bool:
        seen.append((epoch, accuracy))
        return epoch == 2

    with pytest.raises(KeyboardInterrupt, match="stopped"):
        each.run(label(network, judge=judge), stop_at(0.5))
    row = each.run(label(network, judge=judge))
    assert (row["pruned"], len(row["curve"]), row["accuracy"]) == (True, 2, row["curve"][1])
    assert [epoch for epoch, _ in seen] == [1, 1, 2]
    assert [round(value, 4) for _, value in seen[1:]] == row["curve"]
    each.forget(TINY, 0)
    epochs: list[int] = []
    row = each.run(label(network, judge=lambda epoch, _: bool(epochs.append(epoch))))
    assert (row["pruned"], epochs) == (False, [1, 2])


@pytest.mark.parametrize("where", ["loss", "weight"])
def test_divergence_is_a_label_too(
    trainer: Callable[..., LabelTrainer],
    network: Network,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    run = Training.run

    def poisoned(self: Training) -> Iterator[int]:
        for step in run(self):
            if step == (4 if where == "loss" else 6):
                with torch.no_grad():
                    next(self.module.parameters())[0] = float("nan")
            yield step

    monkeypatch.setattr(Training, "run", poisoned)
    path = tmp_path / "w.safetensors"
    row = trainer().run(label(network, weights_path=path))
    assert (row["diverged"], row["accuracy"]) == (True, pytest.approx(100 / 3))
    assert not path.exists()


def test_checkpoints_of_other_trainings_are_removed(
    trainer: Callable[..., LabelTrainer], network: Network, tmp_path: Path
) -> None:
    each = trainer()
    whole = each.run(label(network))
    for other in ("seed", "damage"):
        if other == "seed":
            each.run(replace(label(network), seed=1))
        else:
            (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
        shares: list[float] = []
        row = each.run(label(network), shares.append)
        assert shares[0] == pytest.approx(1 / 9)
        assert facts(row) == facts(whole)


def test_out_of_memory_is_one_line(
    trainer: Callable[..., LabelTrainer], network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Training, "_one", full)
    message = "out of memory with --batch 8 at --input 16: lower --batch, then --input"
    for work in (trainer().probe, lambda each: trainer().run(label(each))):
        with pytest.raises(NoAnswerError, match=message):
            work(network)


def test_a_probe_leaves_nothing(
    trainer: Callable[..., LabelTrainer], network: Network, tmp_path: Path
) -> None:
    assert trainer().probe(network) > 0
    assert not list(tmp_path.iterdir())
