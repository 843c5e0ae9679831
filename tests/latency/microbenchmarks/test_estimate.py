"""The duration that is printed beforehand, against a device whose costs are scripted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from latency.devices.open import open_session
from latency.devices.session import Session, Timed
from latency.microbenchmarks.estimate import estimate_s
from latency.microbenchmarks.passes import PassPlan
from latency.microbenchmarks.timing import time_cases
from latency.paper_model.cases import make_aligned, make_cases
from space.network.block import Chain

CASES = (*make_cases("gpu"), *make_aligned("gpu"))


class Card:
    """A GPU on which a chain takes some time to build, each op of it more, and each convolution
    that the process has not met from 0.03 to 0.3 s, as a library tries its kernels."""

    def __init__(self, session: Session) -> None:
        session.host_info = {**session.host_info, "accelerator": {"name": "Chip"}}
        self.own, self.calls = session.time, []
        self.choices: dict[Any, float] = {}
        self.rng = np.random.default_rng(0)

    def choice_s(self, op: Any) -> float:
        key = op.kind, op.c_in, op.c_out, op.groups, op.kernel, op.height
        if op.kind != "conv" or key in self.choices:
            return 0.0
        self.choices[key] = float(10 ** self.rng.uniform(-1.5, -0.5))
        return self.choices[key]

    def time(self, chains: Sequence[Chain], *, rounds: int, **options: Any) -> Timed:
        timed = self.own(chains, rounds=rounds, **options)
        ops = [op for chain in chains for block in chain for op in block.ops]
        prepare_s = 0.02 * len(chains) + 0.0006 * len(ops) + sum(map(self.choice_s, ops))
        runs = 1 + 2 * (1 + rounds)
        runs_s = runs * (5e-5 * len(chains) + 6e-6 * len(ops) + 2e-14 * sum(o.flops for o in ops))
        self.calls.append(prepare_s + runs_s)
        return Timed(timed.times, prepare_s + runs_s, 0.0, prepare_s)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Session, Card]]:
    with open_session("cpu", "null") as session:
        card = Card(session)
        monkeypatch.setattr(session, "time", card.time)
        yield session, card


@pytest.mark.slow
@pytest.mark.parametrize("passes", [3, 6])
def test_passes_after_the_first_choose_no_kernels(passes: int, card: tuple[Session, Card]) -> None:
    """What is printed beforehand is right to a factor of 1.5."""
    session, scripted = card
    least_s, most_s = estimate_s(CASES, session, 1, PassPlan(3, 6, 10))
    assert sum(scripted.calls) < 10, "the probe itself"
    scripted.calls.clear()
    time_cases(CASES, session, PassPlan(passes, passes, 10))
    expected_s = least_s if passes == 3 else most_s
    assert 1 / 1.5 < expected_s / sum(scripted.calls) < 1.5
    first_s, *_, last_s = np.array(scripted.calls).reshape(passes, -1).sum(axis=1)
    assert first_s > 1.5 * last_s, "the script has what the test is about"
