"""The training itself: steps, evaluation, averaged weights, and a state that continues exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from evaluator.training.depthwise import quickened
from evaluator.training.device_steps import DeviceSteps
from evaluator.training.epoch import Batches, Epoch, evaluation_sums
from evaluator.training.images.resident import ResidentBatches
from evaluator.training.loss_watch import LossWatch
from evaluator.training.objective import Objective, Teacher
from evaluator.training.optimizer import make_optimizer, momenta
from evaluator.training.process import (
    SINGLE_PROCESS,
    ProcessShare,
    reuse_freed_memory,
    uninterrupted,
)
from evaluator.training.recipes.recipe import Recipe
from space.common.errors import DivergedError
from space.network.network import Network
from space.network.torch_module import build_module

GPU_CHECK_EVERY = 20


@dataclass(eq=False)
class Training:
    """A network in training. `run` continues from `step`; `state` and `load` move it from one
    process to another. One seed gives one result on one CPU with one number of threads.

    With `ResidentBatches` its steps are `DeviceSteps`, unless there are several processes, the
    gradients are scaled, which needs a look at them, or the teacher does not run in torch.

    Args:
        images: how many there are to train on.
        data: batches to train on. `tests`: batches to test on.
        teacher: a network to learn from, beside the labels.
        check_every: steps from one look at the loss to the next, for which a GPU waits; 0: 1 on
            the CPU, 20 on a GPU.
        whole: whether `state` is one to go on from; it is none within a step and until an epoch
            that ended is tested.
    """

    network: Network
    recipe: Recipe
    images: int
    data: Batches
    tests: Batches
    seed: int = 0
    device: str = "cpu"
    amp: bool = False
    share: ProcessShare = SINGLE_PROCESS
    teacher: Teacher | None = None
    check_every: int = 0
    step: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    whole: bool = True

    def __post_init__(self) -> None:
        module = build_module(self.network, self.seed).to(self.device)
        module = module.to(memory_format=self._layout())  # type: ignore[call-overload]
        self.module: nn.Module = quickened(module) if self.share.world == 1 else module
        self.check_every = self.check_every or (1 if self.device == "cpu" else GPU_CHECK_EVERY)
        self.total = self.recipe.total_steps(self.images)
        self.epoch_steps = self.recipe.steps_per_epoch(self.images)
        # A fused step reads its learning rate on the device.
        fused = isinstance(self.data, ResidentBatches)
        self.optimizer = make_optimizer(self.module, self.recipe, fused=fused)
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)  # of this epoch
        self.summed = 0  # steps in it
        self.averaged = self.copied_weights() if self.recipe.ema else {}
        kind = self.device.partition(":")[0]
        half = kind == "cpu" or (kind == "cuda" and torch.cuda.is_bf16_supported())
        dtype = torch.bfloat16 if half else torch.float16
        self.autocast = torch.autocast(kind, dtype=dtype, enabled=self.amp, cache_enabled=False)
        self.scaler = torch.amp.GradScaler(kind, enabled=self.amp and not half)
        self.forward: Callable[[Tensor], Tensor] = self.module
        if self.share.world > 1:
            self.forward = nn.parallel.DistributedDataParallel(self.module)
        batch = min(self.recipe.batch, self.images)
        self.objective = Objective(self.recipe, self.seed, batch, self.share, self.teacher)
        self._device_steps: DeviceSteps | None = None
        self._watch = LossWatch(self._require_finite)

    def _layout(self) -> torch.memory_format:
        """How images and weights lie in memory.

        Among processes, gradients of 1x1 weights would differ in strides from DDP's buckets. On a
        GPU cuDNN prepares the depthwise convolutions of a network in channels-last for seconds,
        for steps that are a seventh shorter (docs/results/gpu.md): too long for short trainings,
        of images that the GPU holds.
        """
        resident = isinstance(self.data, ResidentBatches) and self.device != "cpu"
        one = self.share.world == 1 and not resident
        return torch.channels_last if one else torch.contiguous_format

    def run(self, *, steps: int | None = None) -> Iterator[int]:
        """Train to the end, or for `steps` steps; yields after each step, evaluated if it ends an
        epoch or the training.

        Raises:
            DivergedError: the loss is not a finite number.
            DataError: an image is damaged.
        """
        last = self.total if steps is None else min(self.total, self.step + steps)
        if self.device == "cpu":
            reuse_freed_memory()
        started = time.perf_counter() - self.seconds
        cpu_started = time.process_time() - self.cpu_s
        self.module.train()
        for one in self._steps(self.step, last):
            with uninterrupted():
                self.whole = False
                loss = one()
                if self.step % self.check_every == 0:
                    self._watch.look(loss, self.step + 1)
                self.step += 1
                self.summed += 1
                self.seconds = time.perf_counter() - started
                self.cpu_s = time.process_time() - cpu_started
                ends = self.ends_epoch(self.step)
                self.whole = not ends
            if ends:
                self._watch.look(loss, self.step)
                self._watch.settle()
                self._finish_epoch()
                self.module.train()
                self.whole = True
            yield self.step

    def _steps(self, first: int, last: int) -> Iterator[Callable[[], Tensor]]:
        """What to call for each of steps first .. last - 1; it returns the loss."""
        elsewhere = self.teacher is not None and not self.teacher.on_device
        if not isinstance(self.data, ResidentBatches) or self.scaler.is_enabled() or elsewhere:
            return (partial(self._one, *batch) for batch in self.data.train(first, last))
        if self._device_steps is None:
            self._device_steps = self._prepared_steps(self.data)
        return self._device_steps.steps(first, last)

    def _prepared_steps(self, data: ResidentBatches) -> DeviceSteps:
        rate = torch.zeros((), device=self.device)
        changed = [*self.module.state_dict().values(), *self.averaged.values(), self.loss_sum]
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        changed += momenta(self.optimizer)

        def values(step: int) -> tuple[float, float]:
            return self._rate(step), 1 - self._decay(step)

        return DeviceSteps(data, self._learn, values, rate, changed, self.objective.draws)

    def _rate(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        return self.recipe.lr * self.recipe.lr_factor(step, self.total)

    def _decay(self, step: int) -> float:
        # Averages of short runs would be their first weights: average over a tenth of the steps.
        return min(self.recipe.ema, (1 + step) / (10 + step))

    def _one(self, x: Tensor, labels: Tensor) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(self.step)
        draws = [each.to(self.device) for each in self.objective.draws(self.step)]
        return self._learn(x, labels, 1 - self._decay(self.step), *draws)

    def _learn(self, x: Tensor, labels: Tensor, weight: float | Tensor, *draws: Tensor) -> Tensor:
        """One step at the optimizer's learning rate; the loss. `weight`: of the new weights in the
        averaged ones; `draws`: of the objective."""
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast:
            loss = self.objective.loss(self.forward, x, labels, *draws)
        self.scaler.scale(loss).backward()
        if self.recipe.clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.averaged:
            self._average(weight)
        self.loss_sum += loss.detach().double()
        return loss

    @torch.no_grad()
    def _average(self, weight: float | Tensor) -> None:
        for name, value in self.module.state_dict().items():
            if value.is_floating_point():
                self.averaged[name].lerp_(value, weight)
            else:
                self.averaged[name].copy_(value)

    def _require_finite(self, value: float, step: int) -> None:
        """DivergedError if the loss of a step, from 1, is no finite number."""
        if not math.isfinite(value):
            raise DivergedError(
                f"training diverged: the loss is {value} at step {step} of {self.total}, "
                f"learning rate {self._rate(step - 1):.3g}: lower --lr"
            )

    def _finish_epoch(self) -> None:
        test_loss, accuracy = self.evaluate()
        if accuracy > max((e.test_accuracy for e in self.history), default=-1.0):
            self.best = {k: v.detach().cpu().clone() for k, v in self.weights().items()}
        self.history.append(
            Epoch(
                epoch=-(-self.step // self.epoch_steps),
                step=self.step,
                lr=self._rate(self.step - 1),
                train_loss=self.losses[0] / self.losses[1],
                test_loss=test_loss,
                test_accuracy=accuracy,
                seconds=self.seconds,
            )
        )
        self.loss_sum.zero_()
        self.summed = 0

    @property
    def losses(self) -> tuple[float, int]:
        """(sum of the losses, number of steps) of this epoch so far; a GPU waits for it."""
        return float(self.loss_sum), self.summed

    def ends_epoch(self, step: int) -> bool:
        """Whether an epoch or the training ends with this step, from 1; it is tested then."""
        return step % self.epoch_steps == 0 or step == self.total

    @property
    def epoch_ended(self) -> bool:
        """Whether the last step ended an epoch or the training."""
        return bool(self.history) and self.history[-1].step == self.step

    def weights(self) -> dict[str, Tensor]:
        """The weights that are evaluated and stored: the averaged ones if there are any."""
        return self.averaged or self.module.state_dict()

    def copied_weights(self) -> dict[str, Tensor]:
        """The weights of the module, which the next step leaves as they are."""
        return {name: value.clone() for name, value in self.module.state_dict().items()}

    @torch.no_grad()
    def evaluate(self, on: Batches | None = None) -> tuple[float, float]:
        """(mean cross-entropy, accuracy in percent) over all processes, on the test part or on
        another one."""
        own = self.copied_weights() if self.averaged else {}
        if own:
            self.module.load_state_dict(self.averaged)
        self.module.eval()
        batches = (on or self.tests).test()
        sums = evaluation_sums(self.module, batches, self.autocast, self.device)
        if own:
            self.module.load_state_dict(own)
        if self.share.world > 1:
            torch.distributed.all_reduce(sums)
        loss_sum, right_sum, count = sums.tolist()
        return loss_sum / count, 100 * right_sum / count

    def state(self) -> dict[str, Any]:
        """Everything that `load` needs to continue to the same result."""
        return {
            "step": self.step,
            "losses": list(self.losses),
            "seconds": self.seconds,
            "cpu_s": self.cpu_s,
            "history": [asdict(entry) for entry in self.history],
            "module": self.module.state_dict(),
            "averaged": self.averaged,
            "best": self.best,
            "optimizer": self._optimizer_state(),
            "scaler": self.scaler.state_dict(),
        }

    def _optimizer_state(self) -> dict[str, Any]:
        stored = self.optimizer.state_dict()
        groups = [{**group, "lr": float(group["lr"])} for group in stored["param_groups"]]
        return {**stored, "param_groups": groups}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a `state`."""
        self.module.load_state_dict(state["module"])
        self.averaged = {k: v.to(self.device) for k, v in state["averaged"].items()}
        self.best = dict(state["best"])
        # The constants of the optimizer are the recipe's, whatever the state says.
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({**state["optimizer"], "param_groups": groups})
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.cpu_s = state.get("cpu_s", 0.0)  # older checkpoints have none
        self.loss_sum.fill_(state["losses"][0])
        self.summed = state["losses"][1]
        self._device_steps = None  # the optimizer's tensors are others now
        self.history = [Epoch(**entry) for entry in state["history"]]

    def finite(self) -> bool:
        """Whether every weight is a finite number."""
        values = [v for v in self.module.state_dict().values() if v.is_floating_point()]
        return bool(torch.stack([value.isfinite().all() for value in values]).all())
