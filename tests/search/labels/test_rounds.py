"""Labels in rounds of several trainings at once: each row is that of its training without others.

On the CPU, where the order of the steps is all that differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluator.data.open import open_data
from evaluator.training.accelerator import Accelerator
from evaluator.training.group import Group
from evaluator.training.recipes.recipe import SHORT
from evaluator.training.source import read_network
from search.labels import training as labels_training
from search.labels.rounds import round_words, train_rounds
from search.labels.store import FILE, Store
from search.labels.trainer import LabelTrainer, TrainingJob
from search.labels.training import train_jobs
from space.network.network import Network
from tests.helpers.images import TINY

pytestmark = pytest.mark.usefixtures("image_cache")
RECIPE = SHORT.changed(input=16, batch=8, epochs=3.0)  # 3 steps an epoch
VARYING = ("seconds", "date", "commit", "at_once")
Row = dict[str, Any]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def trainer(small_images: Path, tmp_path: Path) -> LabelTrainer:
    data = open_data(small_images)
    return LabelTrainer(data, data.train, data.test, RECIPE, "cpu", 0, tmp_path)


@pytest.fixture(scope="module")
def networks() -> list[Network]:
    lines = [TINY.replace("width=24", f"width={width}") for width in (24, 28, 32)]
    return [read_network(line) for line in lines]


def facts(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in VARYING}


def jobs(networks: list[Network]) -> list[Callable[[], TrainingJob]]:
    return [partial(TrainingJob, network, 0, "label") for network in networks]


def test_the_rows_of_single_trainings(
    trainer: LabelTrainer, networks: list[Network], tmp_path: Path
) -> None:
    alone = [trainer.run(job()) for job in jobs(networks)]
    for network in networks:
        trainer.forget(network.name, 0)
    rows: dict[int, Row] = {}
    shares: list[float] = []
    rounds: list[tuple[int, int]] = []
    train_rounds(
        trainer,
        jobs(networks),
        group=Group(Accelerator("cpu"), at_once=2),
        progress=shares.append,
        finish=rows.__setitem__,
        end_round=lambda first, last: rounds.append((first, last)),
    )
    assert [facts(rows[number]) for number in range(3)] == [facts(row) for row in alone]
    assert [rows[number].get("at_once") for number in range(3)] == [2, 2, None]
    assert rounds == [(0, 2), (2, 3)]
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_stopped_they_go_on(
    trainer: LabelTrainer, networks: list[Network], tmp_path: Path
) -> None:
    """Each from its own checkpoint, to the same rows; a finished one is not trained again."""
    alone = [trainer.run(job()) for job in jobs(networks)]
    for network in networks:
        trainer.forget(network.name, 0)
    store = Store.open(tmp_path / FILE)
    work = [job() for job in jobs(networks)]

    def stop(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt("stopped")

    train = partial(train_rounds, trainer, group=Group(Accelerator("cpu"), at_once=3))
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        train([partial(lambda job: job, job) for job in work], progress=stop,
              finish=lambda number, row: store.add(row))  # fmt: skip
    kept = sorted(tmp_path.glob("*-checkpoint.pt"))
    assert len(kept) == 3
    steps = [torch.load(path, weights_only=True)["step"] for path in kept]
    assert sorted(steps) in ([4, 5, 5], [5, 5, 5])
    rows: dict[int, Row] = {}
    first: list[float] = []
    train(jobs(networks), progress=first.append, finish=rows.__setitem__)
    assert first[0] > 0.1
    assert [facts(rows[number]) for number in range(3)] == [facts(row) for row in alone]
    for network in networks:
        trainer.forget(network.name, 0)
    assert not list(tmp_path.glob("*.pt"))


def test_through_the_store(
    trainer: LabelTrainer,
    networks: list[Network],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is on disk is followed first, then each round in order, each once; the second round's
    judges know the first one's rows."""
    monkeypatch.setattr(LabelTrainer, "several", True)
    one = partial(train_rounds, group=Group(Accelerator("cpu"), at_once=1))
    monkeypatch.setattr(labels_training, "train_rounds", one)
    store, known = Store.open(tmp_path / FILE), trainer.run(TrainingJob(networks[1], 0, "label"))
    store.add(known)
    events: list[tuple[str, int]] = []

    def never(missing: list[int]) -> np.ndarray:
        raise AssertionError("nothing is probed")

    def judge(number: int) -> Callable[[int, float], bool]:
        events.append(("begin", number))
        return lambda epoch, accuracy: number == 2 and epoch == 2

    train = partial(
        train_jobs, trainer, store, [TrainingJob(n, 0, "label") for n in networks],
        title="labelling", costs=never, judge=judge,
        ended=lambda number, row: events.append(("end", number)),
    )  # fmt: skip
    rows = train()
    assert events == [("end", 1), ("begin", 0), ("end", 0), ("begin", 2), ("end", 2)]
    assert rows[1] == known
    assert [(row["pruned"], len(row["curve"])) for row in rows] == [
        (False, 3), (False, 3), (True, 2),
    ]  # fmt: skip
    assert Store.open(tmp_path / FILE).rows.keys() == {row["key"] for row in rows}
    assert "2 of 3, label, seed 0: " in capsys.readouterr().err
    events.clear()
    assert train() == rows
    assert events == [("end", 0), ("end", 1), ("end", 2)]
    assert not list(tmp_path.glob("*.pt"))


def test_words() -> None:
    group = Group(Accelerator("cpu"), at_once=2, step_s={1: 0.004, 2: 0.0021, 4: 0.00205})
    assert round_words(group, 1000, 30) == (
        "2 trainings at once (milliseconds of a step of each, by their number: 1: 4, 2: 2.1, "
        "4: 2.1); 30 trainings of 1000 steps: about 63 s and their tests"
    )


def test_a_gpu_and_the_processor_make_the_same_label(trainer: LabelTrainer) -> None:
    """The key is the training's, not the machine's: what one labelled, the other does not."""
    assert replace(trainer, device="cuda").key(TINY, 0) == trainer.key(TINY, 0)
