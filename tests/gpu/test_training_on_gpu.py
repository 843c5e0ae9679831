"""Training on a real GPU: what the tests on the CPU cannot show. One minute:

python -m pytest -q -s tests/gpu
"""

from __future__ import annotations

import time
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluator.data.cache import Pixels
from evaluator.training.accelerator import Accelerator
from evaluator.training.group import Group, Member
from evaluator.training.images.batches import ArrayBatches
from evaluator.training.images.resident import ResidentBatches, ResidentImages
from evaluator.training.loop import Training
from evaluator.training.recipes.recipe import SHORT, Recipe
from evaluator.training.session import TrainingSession
from evaluator.training.source import read_network
from evaluator.training.weights.checkpoint import CheckpointWriter
from space.network.resize import on_input
from tests.helpers.images import TINY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU"),
]
IMAGES, CLASSES = 4096, 10
RECIPE = SHORT.changed(batch=64, epochs=2.0, lr=0.1)
NETWORK = "ShuffleNet v2 0.5x"
FIRST, NEAR = 4, 0.02  # steps whose losses are compared, and how near they are


@pytest.fixture(scope="module")
def pixels() -> tuple[Pixels, Tensor]:
    """Images whose class shows in their colour and a stripe."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, IMAGES)
    pixels = rng.integers(0, 120, (IMAGES, 32, 32, 3))
    pixels[np.arange(IMAGES), 3 * labels] += 100
    pixels[..., 0] += (12 * labels)[:, None, None]
    return pixels.astype(np.uint8), torch.from_numpy(labels)


def training(
    pixels: tuple[Pixels, Tensor],
    recipe: Recipe = RECIPE,
    *,
    resident: bool = True,
    name: str = NETWORK,
    **options: Any,
) -> Training:
    network = on_input(read_network(name), 32, 32, classes=CLASSES)
    images = ResidentImages.put(*pixels, "cuda")
    assert images is not None
    batches: Any = ArrayBatches(*pixels, recipe, 0, device="cuda")
    if resident:
        batches = ResidentBatches(images, recipe, 0)
    return Training(network, recipe, IMAGES, batches, batches, seed=0, device="cuda", **options)


def run(each: Training, steps: int | None = None) -> Training:
    for _ in each.run(steps=steps):
        pass
    torch.cuda.synchronize()
    return each


def first_losses(each: Training, steps: int = FIRST) -> list[float]:
    """Those of the next steps: later ones differ, since a small difference grows from step to
    step."""
    sums = [each.losses[0]]
    for _ in each.run(steps=steps):
        sums.append(each.losses[0])
    return [after - before for before, after in pairwise(sums)]


@pytest.mark.parametrize(
    "options",
    [{}, {"ema": 0.9, "label_smoothing": 0.1}, {"mixup": 0.2, "cutmix": 1.0, "erase": 0.5}],
)
@pytest.mark.parametrize("amp", [False, True])
def test_a_graph_trains_as_single_ops_do(
    pixels: tuple[Pixels, Tensor],
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    amp: bool,
) -> None:
    recipe = RECIPE.changed(**options)
    plain, each = (training(pixels, recipe, resident=r, amp=amp) for r in (False, True))
    assert first_losses(each) == pytest.approx(first_losses(plain), rel=NEAR)
    run(each)
    assert "records no graph" not in capsys.readouterr().err
    first, second = each.history
    assert second.train_loss < 0.9 * first.train_loss


def test_it_goes_on_from_a_state(pixels: tuple[Pixels, Tensor]) -> None:
    whole = run(training(pixels), steps=20)
    again = training(pixels)
    again.load(deepcopy(whole.state()))  # a state shares the tensors of its training
    assert first_losses(again) == pytest.approx(first_losses(whole), rel=NEAR)


def session(pixels: tuple[Pixels, Tensor], folder: Path, name: str) -> TrainingSession:
    each = training(pixels, name=name)
    path = folder / f"{len(list(folder.iterdir()))}.pt"
    writer = CheckpointWriter(each, path, {}, each_epoch=False)
    return TrainingSession(each, writer)


def test_several_at_once_train_as_each_without_others(
    pixels: tuple[Pixels, Tensor], tmp_path: Path
) -> None:
    names = [NETWORK, TINY, "ShuffleNet v2 1.0x", NETWORK]
    without = [first_losses(training(pixels, name=name)) for name in names]
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    found: dict[int, list[float]] = {number: [0.0] for number in range(len(names))}

    def step(member: Member) -> None:
        if len(found[member.number]) <= FIRST:
            found[member.number].append(member.session.training.losses[0])

    group = Group(Accelerator("cuda"))
    jobs = [lambda name=name: session(pixels, tmp_path, name) for name in names]
    assert group.round(jobs, step=step) == 4
    for number, expected in enumerate(without):
        each = [after - before for before, after in pairwise(found[number])]
        assert each == pytest.approx(expected, rel=NEAR)
    assert torch.cuda.memory_allocated() <= before + 2**26  # trainings that ended are gone


def test_how_fast(pixels: tuple[Pixels, Tensor], tmp_path: Path) -> None:
    """Prints what a graph gains, and how many networks at once are worth it."""
    seconds = {}
    for resident in (False, True):
        each = run(training(pixels, RECIPE.changed(epochs=20.0), resident=resident), steps=20)
        started = time.perf_counter()
        run(each, steps=30)
        seconds[resident] = (time.perf_counter() - started) / 30
    group = Group(Accelerator("cuda"))
    jobs = [lambda: session(pixels, tmp_path, NETWORK)] * 32
    started = time.perf_counter()
    count = group.round(jobs)
    took = time.perf_counter() - started
    each_s = {number: round(s * 1e3, 2) for number, s in group.step_s.items()}
    print(f"\na step op by op {seconds[False] * 1e3:.2f} ms, as a graph {seconds[True] * 1e3:.2f}")
    print(f"ms of a step of each of several at once: {each_s}")
    print(f"{count} trainings of 2 epochs of {IMAGES} images: {took:.1f} s")
    assert seconds[True] < seconds[False]
