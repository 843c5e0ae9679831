"""Several trainings at once: how many, in which order, and what an end of one does to the others.

The device here is a stand-in with a clock and a memory that follow a rule; it cannot show what a
GPU's streams do. tests/gpu does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from evaluator.training.accelerator import Accelerator
from evaluator.training.group import Group, Member
from evaluator.training.session import TrainingSession
from space.common.errors import DivergedError, MemoryNeededError


@dataclass(eq=False)
class Card(Accelerator):
    """A device on which `at_once` kernels run side by side: a step of up to that many trainings
    takes 1 s, of twice as many 2 s. Each training takes `each` bytes of `total`."""

    at_once: int = 8
    total: int = 10**6
    each: int = 10
    now: float = 0.0
    open: int = 0
    released: int = 0
    streams: list[object] = field(default_factory=list)
    current: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__("cpu")

    def clock(self) -> float:
        return self.now

    def new_stream(self) -> Any:
        self.streams.append(object())
        return self.streams[-1]

    def on(self, stream: Any) -> Any:
        @contextmanager
        def entered() -> Any:
            self.current.append(stream)
            try:
                yield
            finally:
                self.current.pop()

        return entered()

    def used_bytes(self) -> int:
        return self.open * self.each

    def free_bytes(self) -> int | None:
        return self.total - self.used_bytes()

    def release(self) -> None:
        self.released += 1


class Steps:
    """A training of `length` steps on a card: what `Group` asks of a `TrainingSession`."""

    def __init__(self, card: Card, length: int, ends: dict[int, BaseException]) -> None:
        if card.free_bytes() is not None and card.each > (card.free_bytes() or 0):
            raise MemoryNeededError("out of memory")
        self.card, self.length, self.ends = card, length, ends
        self.done, self.saved, self.stream = 0, 0, card.current[-1]
        card.open += 1

    def advance(self) -> bool:
        assert self.card.current == [self.stream]  # on its own stream, always
        if self.done in self.ends:
            raise self.ends[self.done]
        if self.done == self.length:
            self.card.open -= 1
            return False
        self.done += 1
        self.card.now += 1 / min(self.card.at_once, max(1, self.card.open))
        return True

    def save_interrupted(self) -> None:
        assert self.card.current == [self.stream]
        self.saved = self.done


def jobs(
    card: Card, lengths: Sequence[int], ends: dict[int, dict[int, BaseException]] | None = None
) -> tuple[list[Callable[[], TrainingSession]], list[Steps]]:
    opened: list[Steps] = []

    def job(number: int) -> Any:
        opened.append(Steps(card, lengths[number], (ends or {}).get(number, {})))
        return opened[-1]

    return [partial(job, number) for number in range(len(lengths))], opened


def test_as_many_as_make_a_step_faster() -> None:
    """Eight run side by side: sixteen take as long for each, so eight it is, from the second round
    on; the sixteen that were opened for measuring go on."""
    card = Card(at_once=8)
    group = Group(card, clock=card.clock)
    work, opened = jobs(card, [200] * 50)
    ended: list[int] = []
    assert group.round(work, finish=lambda member: ended.append(member.number)) == 16
    assert group.at_once == 8
    expected = {1: 1.0, 2: 1 / 2, 4: 1 / 4, 8: 1 / 8, 16: 1 / 8}
    assert group.step_s == pytest.approx(expected)
    assert sorted(ended) == list(range(16))
    assert {each.done for each in opened} == {200}
    assert len(set(card.streams)) == 16 and not card.current
    assert group.round(work[16:], finish=lambda member: ended.append(member.number)) == 8
    assert len(opened) == 24 and card.released == 2


def test_no_more_than_memory_allows() -> None:
    """Room for 6.5 trainings; one is left for what tests need."""
    card = Card(at_once=64, total=65)
    group = Group(card, clock=card.clock)
    work, opened = jobs(card, [50] * 20)
    assert group.round(work) == 5
    assert (group.at_once, len(opened)) == (5, 5)
    assert group.round(work[5:]) == 5


def test_what_does_not_fit_waits_for_the_next_round() -> None:
    card = Card(total=1000)
    work, _ = jobs(card, [50] * 5)

    def full() -> TrainingSession:
        raise MemoryNeededError("out of memory")

    group = Group(card, clock=card.clock)
    assert group.round([*work[:3], full, *work[3:]]) == 3
    assert group.at_once == 3
    with pytest.raises(MemoryNeededError, match="out of memory"):
        group.round([full, *work])


def test_few_jobs_are_one_round() -> None:
    card = Card()
    group = Group(card, clock=card.clock)
    started: list[int] = []
    work, opened = jobs(card, [3, 30, 60])  # the first is over while two are measured
    assert group.round(work, started=lambda: started.append(len(opened))) == 3
    assert started == [3] and group.at_once is None
    assert [each.done for each in opened] == [3, 30, 60]


def test_a_step_of_each_in_turn() -> None:
    card = Card()
    group = Group(card, at_once=3, clock=card.clock)
    order: list[int] = []
    work, _ = jobs(card, [2, 4, 3])
    group.round(work, step=lambda member: order.append(member.number))
    assert order == [0, 1, 2, 0, 1, 2, 1, 2, 1]


def test_one_that_diverges_leaves_the_others() -> None:
    card = Card()
    group = Group(card, at_once=3, clock=card.clock)
    work, opened = jobs(card, [9] * 3, {1: {4: DivergedError("the loss is nan")}})
    ended: dict[int, Member] = {}
    group.round(work, finish=lambda member: ended.setdefault(member.number, member))
    assert {number: member.diverged for number, member in ended.items()} == {
        0: False, 1: True, 2: False,
    }  # fmt: skip
    assert [each.done for each in opened] == [9, 4, 9]


@pytest.mark.parametrize("error", [KeyboardInterrupt("stopped"), MemoryNeededError("stopped")])
def test_all_are_saved_where_one_stops(error: BaseException) -> None:
    card = Card()
    group = Group(card, at_once=3, clock=card.clock)
    work, opened = jobs(card, [2, 9, 9], {1: {5: error}})
    with pytest.raises(type(error), match="stopped"):
        group.round(work)
    assert [each.saved for each in opened] == [0, 5, 5]  # the first is over
    assert card.released == 1
