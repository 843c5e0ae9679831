"""Several trainings at once on one device, each on its own stream.

Kernels of small networks leave most of a GPU idle, and kernels of different streams share it. Each
training takes the same steps as it does without the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluator.training.accelerator import Accelerator
from evaluator.training.session import TrainingSession
from space.common.errors import DataError, DivergedError, MemoryNeededError, NoAnswerError

MOST_AT_ONCE = 64
GAIN = 0.05  # the share of a step's time that twice as many networks must save
WARM_STEPS, TIMED_STEPS, TIMED_S = 2, 20, 0.5  # of one measurement; it ends with either limit
SPARE = 2.0  # times a training's memory must be free for the next one: tests need some too


@dataclass(eq=False)
class Member:
    """A training of the group. `number`: of its job; `diverged`: how it ended."""

    number: int
    stream: Any
    session: TrainingSession
    diverged: bool = False


@dataclass(eq=False)
class Group:
    """Trains jobs in rounds of as many as memory and speed allow.

    Args:
        at_once: trainings of a round; None until it is measured.
        clock: seconds.
        step_s: of each number at once that was measured, the seconds of a step of one training.
    """

    device: Accelerator
    at_once: int | None = None
    clock: Callable[[], float] = time.perf_counter
    step_s: dict[int, float] = field(default_factory=dict)
    _active: list[Member] = field(default_factory=list)
    _largest: int = 0  # bytes of a training
    _step: Callable[[Member], object] = lambda member: None
    _finish: Callable[[Member], object] = lambda member: None

    def round(
        self,
        jobs: Sequence[Callable[[], TrainingSession]],
        *,
        step: Callable[[Member], object] = lambda member: None,
        started: Callable[[], object] = lambda: None,
        finish: Callable[[Member], object] = lambda member: None,
    ) -> int:
        """Train the first jobs to their end; how many these were.

        Args:
            jobs: each opens a training, on the stream that it then stays on.
            step: called after each step of a training.
            started: called when all of the round are open.
            finish: called with a training that has ended, before the round ends.

        Raises:
            NoAnswerError: not even one training has enough memory, or one fails. The others have
                checkpoints.
            DataError, KeyboardInterrupt: as `run_to_end`; all have checkpoints.
        """
        self._step, self._finish, self._active = step, finish, []
        try:
            opened = self._open(jobs)
            started()
            while self._active:
                for member in tuple(self._active):
                    self._advance(member)
        except (DataError, KeyboardInterrupt, NoAnswerError):
            for member in self._active:
                with self.device.on(member.stream):
                    member.session.save_interrupted()
            raise
        finally:
            self._active = []
            self.device.release()
        return opened

    def _open(self, jobs: Sequence[Callable[[], TrainingSession]]) -> int:
        """Open jobs until there are enough, measuring how many that is."""
        opened, limit = 0, min(len(jobs), self.at_once or MOST_AT_ONCE)
        while opened < limit:
            free = self.device.free_bytes()
            if opened and free is not None and free < SPARE * self._largest:
                self.at_once = self.at_once or opened
                break
            try:
                self._add(opened, jobs[opened])
            except MemoryNeededError:
                if not opened:
                    raise
                self.at_once = self.at_once or opened
                self.device.release()
                break
            opened += 1
            if self.at_once is None and opened & (opened - 1) == 0 and self._enough(opened):
                break
        else:
            if opened == MOST_AT_ONCE:
                self.at_once = self.at_once or opened
        return opened

    def _add(self, number: int, job: Callable[[], TrainingSession]) -> None:
        before, stream = self.device.used_bytes(), self.device.new_stream()
        with self.device.on(stream):
            member = Member(number, stream, job())
        self._active.append(member)
        try:
            self._advance(member)  # its steps are prepared with the first one
        except MemoryNeededError:
            self._active.remove(member)
            raise
        self._largest = max(self._largest, self.device.used_bytes() - before)

    def _enough(self, opened: int) -> bool:
        """Measure the trainings that are open; whether more would not make a step faster."""
        for _ in range(WARM_STEPS):
            self._advance_all()
        self.device.wait()
        started, steps = self.clock(), 0
        while steps < TIMED_STEPS * opened and self.clock() - started < TIMED_S:
            if len(self._active) < opened:  # trainings so short that nothing is to be chosen
                return False
            steps += opened
            self._advance_all()
        self.device.wait()
        best = min(self.step_s.values(), default=float("inf"))
        self.step_s[opened] = (self.clock() - started) / steps
        if self.step_s[opened] > (1 - GAIN) * best:
            self.at_once = min(self.step_s, key=self.step_s.__getitem__)
            return True
        return False

    def _advance_all(self) -> None:
        for member in tuple(self._active):
            self._advance(member)

    def _advance(self, member: Member) -> None:
        with self.device.on(member.stream):
            try:
                goes_on = member.session.advance()
            except DivergedError:
                member.diverged, goes_on = True, False
            if goes_on:
                self._step(member)
            else:
                self._finish(member)
                self._active.remove(member)
