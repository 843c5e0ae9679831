"""How long a measurement takes, from a few of its chains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from latency.builder.memory import needed_bytes
from latency.devices.session import Session
from latency.measure.block import chain_flops, probe
from latency.microbenchmarks.passes import PassPlan, on_accelerator
from latency.microbenchmarks.timing import case_chains, group_cases, job_chains
from latency.paper_model.cases import Case
from space.network.block import Chain


def convolutions(chains: Iterable[Chain]) -> set[tuple[Any, ...]]:
    """The shapes for which a GPU's library chooses a kernel, each once in a process."""
    blocks = {block for chain in chains for block in chain}
    ops = {op for block in blocks for op in block.ops if "conv" in op.kind}
    names = ("c_in", "c_out", "height", "width", "kernel", "stride", "groups")
    return {tuple(getattr(op, name) for name in names) for op in ops}


def estimate_s(
    cases: Sequence[Case], session: Session, batch: int, plan: PassPlan
) -> tuple[float, float]:
    """Wall seconds that the least and the most passes of `time_cases` take.

    On a GPU the chains that need most memory run first, so that a batch that is too large shows
    now. The first of two probes then has to choose kernels; what the second takes less is the
    price of a choice.

    Raises:
        OSError: as `Session.time`.
        MemoryError: the batch is too large for the GPU.
    """
    chains = [chain for case in cases for chain in case_chains(case)]
    picked = [case_chains(cases[group[-1]]) for group in group_cases(cases)[::2]]
    choices_s = 0.0
    if on_accelerator(session):
        largest = max(job_chains(cases), key=lambda job: needed_bytes(job, batch))
        session.time(largest, batch=batch, rounds=1, steady=True)
        sample = [chain for pair in picked for chain in pair]
        first = probe(session, sample, batch)
        cost = probe(session, sample, batch)
        known = convolutions(largest)
        seen = convolutions(sample) - known
        paid_s = max(0.0, first.prepare_s - cost.prepare_s) * len(sample)
        choices_s = paid_s / max(1, len(seen)) * len(convolutions(chains) - known - seen)
    else:
        cost = probe(session, [long for long, _ in picked], batch)
    one_s = cost.seconds(len(chains), sum(map(chain_flops, chains)), plan.rounds)
    return choices_s + plan.least * one_s, choices_s + plan.most * one_s
