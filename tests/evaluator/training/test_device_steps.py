"""Steps that a device takes by itself: the same as the loop's, wherever they begin, and nothing in
them waits for the device.

Here the code of a step runs op by op on the CPU. That cannot show whether CUDA captures it, nor
that streams are ordered; tests/gpu does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from evaluator.training import device_steps
from evaluator.training.device_steps import DeviceSteps
from evaluator.training.images.batches import MEAN, STD, ArrayBatches
from evaluator.training.images.mixing import erased, mixed
from evaluator.training.images.resident import ResidentBatches, ResidentImages
from evaluator.training.loop import Training
from evaluator.training.recipes.recipe import SHORT, Recipe
from evaluator.training.source import read_network
from evaluator.training.teachers.teacher import TeacherNetwork, ViewingTeacher
from space.common.errors import DivergedError
from space.network.network import Network
from space.network.resize import on_input
from space.network.torch_module import build_module
from tests.helpers.images import TINY

IMAGES = 64
RECIPE = SHORT.changed(input=16, batch=8, epochs=2.0)
PIXELS = np.random.default_rng(0).integers(0, 256, (IMAGES, 16, 16, 3), dtype=np.uint8)
LABELS = torch.arange(IMAGES) % 3
MODERN: dict[str, Any] = {
    "mixup": 0.2,
    "cutmix": 1.0,
    "erase": 0.5,
    "schedule": "cosine",
    "ema": 0.9,
}
# Ops that read values back from a device, or whose result's shape follows from values.
WAITING = ("_local_scalar_dense", "item", "nonzero", "masked_select", "unique", "is_nonzero",
           "equal", "_assert_async", "lift_fresh")  # fmt: skip


@pytest.fixture(scope="module")
def network() -> Network:
    return on_input(read_network(TINY), 16, 16, classes=3)


def resident(recipe: Recipe = RECIPE) -> ResidentBatches:
    images = ResidentImages.put(PIXELS, LABELS, "cpu")
    assert images is not None
    return ResidentBatches(images, recipe, 3)


def training(network: Network, recipe: Recipe = RECIPE, **options: Any) -> Training:
    batches = resident(recipe)
    return Training(network, recipe, IMAGES, batches, batches, seed=3, **options)


def run(each: Training, steps: int | None = None) -> Training:
    for _ in each.run(steps=steps):
        pass
    return each


def assert_same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ema": 0.6, "clip": 0.0, "lr": 0.01},
        {"momentum": 0.0, "nesterov": False},
        MODERN | {"lr": 0.01, "clip": 0.0},
    ],
)
def test_they_train_as_the_loop_does(network: Network, options: dict[str, Any]) -> None:
    """A fused step rounds in another order."""
    recipe = RECIPE.changed(**options)
    arrays = ArrayBatches(PIXELS, LABELS, recipe, 3)
    plain = run(Training(network, recipe, IMAGES, arrays, arrays, seed=3))
    each = run(training(network, recipe))
    weights = each.weights()
    for name, value in plain.weights().items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4)
    for ours, theirs in zip(each.history, plain.history, strict=True):
        assert (ours.epoch, ours.step, ours.lr) == (theirs.epoch, theirs.step, theirs.lr)
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-4)
        assert ours.test_loss == pytest.approx(theirs.test_loss, rel=1e-3)
        assert ours.test_accuracy == theirs.test_accuracy


@pytest.mark.parametrize("stop", [1, 5, 8, 11])
def test_they_go_on_from_a_state(
    network: Network, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """Tables of 4 steps: a state lies within one, at the end of one and of an epoch."""
    recipe = RECIPE.changed(**MODERN)
    monkeypatch.setattr(device_steps, "WINDOW", 4)
    whole = run(training(network, recipe))
    state = run(training(network, recipe), steps=stop).state()
    assert isinstance(state["optimizer"]["param_groups"][0]["lr"], float)
    again = training(network, recipe)
    again.load(state)
    run(again)
    assert_same(again.module.state_dict(), whole.module.state_dict())
    assert_same(again.averaged, whole.averaged)
    assert [e.train_loss for e in again.history] == [e.train_loss for e in whole.history]
    # A state of the other kind of steps is one too.
    arrays = ArrayBatches(PIXELS, LABELS, recipe, 3)
    plain = Training(network, recipe, IMAGES, arrays, arrays, seed=3)
    plain.load(state)
    assert run(plain).step == 16


def test_a_trained_network_that_is_loaded_goes_on(network: Network) -> None:
    """Steps that are prepared already follow the tensors of a new state."""
    each = run(training(network), steps=3)
    state = run(training(network), steps=6).state()
    each.load(state)
    assert_same(run(each).module.state_dict(), run(training(network)).module.state_dict())


def teaching(network: Network, *, in_torch: bool = True) -> ViewingTeacher:
    """A teacher at another size, with other pixel statistics."""
    larger = build_module(on_input(read_network(TINY), 32, 32, classes=3), 1)
    known = TeacherNetwork(
        name="t",
        digest="d",
        run=larger,
        classes=(),
        size=(32, 32),
        mean=(0.5,) * 3,
        std=(0.2,) * 3,
        module=larger if in_torch else None,
    )
    return ViewingTeacher(known, MEAN, STD, "cpu", 0.5, 2.0)


def test_a_teacher_outside_torch_is_asked_step_by_step(network: Network) -> None:
    """It runs on the processor, which no graph of a device holds; the training is the same."""
    inside = run(training(network, RECIPE.changed(lr=0.01), teacher=teaching(network)))
    assert inside._device_steps is not None
    outside = training(network, RECIPE.changed(lr=0.01), teacher=teaching(network, in_torch=False))
    run(outside)
    assert outside._device_steps is None
    for name, value in inside.weights().items():
        torch.testing.assert_close(outside.weights()[name], value, rtol=1e-3, atol=1e-4)


class Refusing(TorchDispatchMode):
    """Counts ops, and refuses those of `WAITING`."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        moves = (kwargs or {}).get("device") is not None and name == "_to_copy"
        assert name not in WAITING and not moves, f"{name} waits for the device"
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "options, taught",
    [
        ({}, False),
        ({"ema": 0.9, "channels": 1, "label_smoothing": 0.1}, False),
        (MODERN, False),
        (MODERN, True),
    ],
)
def test_no_step_waits_or_moves(network: Network, options: dict[str, Any], taught: bool) -> None:
    """A graph replays on the addresses that it was captured with: all that lasts stays there."""
    recipe = RECIPE.changed(**options)
    if recipe.channels == 1:
        network = on_input(read_network(TINY), 16, 16, classes=3, channels=1)
    teacher = teaching(network) if taught else None
    each = run(training(network, recipe, teacher=teacher), steps=1)
    steps = each._device_steps
    assert isinstance(steps, DeviceSteps)
    lasting = [*steps.changed, steps.rate, steps.loss, *each.module.parameters()]
    before = [value.data_ptr() for value in lasting]
    kept = [value.clone() for value in steps.changed]
    one = next(steps.steps(1, 5))
    one()  # the tables are written
    with Refusing() as mode:
        for _ in range(3):
            one()
    assert mode.count > 100
    assert [value.data_ptr() for value in lasting] == before
    moved = [not torch.equal(a, b) for a, b in zip(kept, steps.changed, strict=True)]
    assert all(moved), "a tensor that no step changes"
    state = {*map(id, each.module.state_dict(keep_vars=True).values())}
    assert state <= {*map(id, [*steps.changed, *each.module.parameters()])} | {
        id(value) for value in each.module.buffers()
    }


def test_what_a_step_changes_is_listed(network: Network) -> None:
    """All of it is put back after a warm-up: with it put back, a step is the first one again."""
    recipe = RECIPE.changed(ema=0.9)
    once = run(training(network, recipe), steps=1)
    each = run(training(network, recipe), steps=1)
    steps = each._device_steps
    assert steps is not None
    fresh = training(network, recipe)
    start = [*fresh.module.state_dict().values(), *fresh.averaged.values(), fresh.loss_sum]
    with torch.no_grad():
        for value in steps.changed:
            value.zero_()
        for value, first in zip(steps.changed, start, strict=False):
            value.copy_(first)
    next(steps.steps(0, 1))()
    assert_same(each.module.state_dict(), once.module.state_dict())
    assert_same(each.averaged, once.averaged)
    assert each.losses[0] == once.losses[0]


def test_nothing_comes_from_the_host() -> None:
    """On tensors that have a device and no values, ops of mixed devices and reads are errors."""
    with FakeTensorMode(), torch.device("cuda"):
        pixels = torch.zeros(IMAGES, 16, 16, 3, dtype=torch.uint8)
        images = ResidentImages(pixels, torch.zeros(IMAGES, dtype=torch.int64))
        batches = ResidentBatches(images, RECIPE, 0)
        learnt: list[tuple[Tensor, ...]] = []
        rate = torch.zeros(())

        def learn(x: Tensor, labels: Tensor, share: Tensor, *draws: Tensor) -> Tensor:
            learnt.append((x, labels, share))
            return mixed(erased(x, draws[0]), draws[1]).mean()

        def draws(step: int) -> tuple[Tensor, Tensor]:
            boxes = torch.zeros(8, 4, dtype=torch.int64, device="cpu")
            return boxes, torch.zeros(6, dtype=torch.float64, device="cpu")

        steps = DeviceSteps(batches, learn, lambda step: (0.1, 0.0), rate, [], draws)
        steps._step()
    x, labels, share = learnt[0]
    assert {each.device.type for each in (x, labels, share, steps.loss)} == {"cuda"}
    assert (x.shape, labels.shape) == ((8, 3, 16, 16), (8,))
    assert x.is_contiguous()  # on a GPU, as the weights


@pytest.mark.parametrize("poisoned, found", [(1, 5), (5, 8)])
def test_divergence_is_found_soon(network: Network, poisoned: int, found: int) -> None:
    """Every fourth step is looked at, and the last one of an epoch of 8."""
    each = training(network, check_every=4)
    with pytest.raises(DivergedError, match=rf"at step {found} of 16, .*: lower --lr"):
        for step in each.run():
            if step == poisoned:
                with torch.no_grad():
                    next(each.module.parameters())[0] = float("nan")


def test_a_warm_up_leaves_no_trace(network: Network) -> None:
    """The steps before a capture change weights, averages, momenta, losses: all are put back."""
    recipe = RECIPE.changed(ema=0.9)
    each = run(training(network, recipe), steps=3)
    steps = each._device_steps
    assert steps is not None
    next(steps.steps(3, 16))  # writes the tables
    steps._warm_up()
    assert_same(run(each).module.state_dict(), run(training(network, recipe)).module.state_dict())
    assert [e.train_loss for e in each.history] == [
        e.train_loss for e in run(training(network, recipe)).history
    ]


class Graphs:
    """Stands in for torch.cuda where a step is captured; `refusal`: what the capture raises."""

    def __init__(self, refusal: Exception | None) -> None:
        self.refusal, self.log = refusal, list[str]()

    def __getattr__(self, name: str) -> Any:
        def call(*_: object) -> Any:
            self.log.append(name)
            if name == "capture_begin" and self.refusal is not None:
                raise self.refusal
            return self

        return call

    def __enter__(self) -> None:
        self.log.append("side")

    def __exit__(self, *_: object) -> None:
        self.log.append("left")


@pytest.mark.parametrize("refused", [False, True])
def test_capture(
    network: Network,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    refused: bool,
) -> None:
    """The graph is captured on a side stream, after its warm-up; refused, the step runs itself."""
    refusal = RuntimeError("operation not permitted when stream is capturing\nmore")
    each = run(training(network), steps=1)
    steps = each._device_steps
    assert steps is not None
    fake = Graphs(refusal if refused else None)
    monkeypatch.setattr(torch, "cuda", fake)
    replay = steps._captured()
    begin = fake.log.index("capture_begin")
    assert fake.log.index("side") < fake.log.index("empty_cache") < begin
    assert fake.log[-2:] == ["left", "wait_stream"]
    said = capsys.readouterr().err
    if refused:
        assert replay == steps._step
        assert "CUDA records no graph of a step (operation not permitted when" in said
        assert len(said.splitlines()) == 1
    else:
        assert "capture_end" in fake.log and not said
        replay()
        assert fake.log[-1] == "replay"


def test_a_warm_up_that_fails_leaves_no_trace(network: Network) -> None:
    """Memory may run out in its backward pass, in a training that goes on from a checkpoint."""
    each = run(training(network), steps=3)
    steps = each._device_steps
    assert steps is not None
    before = [value.clone() for value in steps.changed]
    learn, calls = steps.learn, list[int]()

    def failing(*batch: Tensor) -> Tensor:
        calls.append(len(calls))
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return learn(*batch)

    steps.learn = failing
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        steps._warm_up()
    assert all(torch.equal(a, b) for a, b in zip(before, steps.changed, strict=True))


def test_without_memory_nothing_goes_on(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    each = run(training(network), steps=1)
    steps = each._device_steps
    assert steps is not None
    monkeypatch.setattr(torch, "cuda", Graphs(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        steps._captured()
