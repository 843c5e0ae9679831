"""Measuring a plan with the null engine: exact results, the order of jobs, resuming."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from latency.builder.campaign import Campaign, Effort
from latency.builder.grid import COARSE, FULL, GPU, block_in_context, usual_grid
from latency.builder.journal import Journal, chain_text
from latency.builder.plan import Job, Plan, make_plan, slot
from latency.devices.local import LocalSession
from latency.devices.session import Timed
from latency.engines.null import RUN_S, block_s
from latency.engines.registry import get_engine
from latency.measure.drift import reference_chain
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.network.block import Block
from space.zoo.families import shufflenet_v2

NET = shufflenet_v2("0.5", 32, 32)
EFFORT = Effort(rounds=3, min_passes=2, max_passes=3)
IDENTITY = {"device": "chip", "engine": "null"}


def small_plan():
    targets = tuple(block_in_context(b, NET.blocks[:1]) for b in dict.fromkeys(NET.blocks[1:4]))
    jobs = tuple(Job(tuple(dict.fromkeys(t.chains)), (t,)) for t in targets)
    reference = reference_chain(32, 32)
    return Plan((*jobs, Job((NET.blocks,))), targets, (NET,), (NET,), (NET,), reference)


class Counting:
    """The null engine with a count of prepared chains; it dies at `stop_at` of them."""

    def __init__(self, stop_at=10**9):
        self.engine, self.prepared, self.stop_at = get_engine("null"), 0, stop_at
        self.name, self.clock = self.engine.name, self.engine.clock
        self.version, self.versions = self.engine.version, {}
        self.threads, self.dtype = 1, "float32"

    def evict(self):
        pass

    def prepare(self, blocks, batch=1):
        self.prepared += 1
        if self.prepared > self.stop_at:
            raise KeyboardInterrupt("stop here")
        return self.engine.prepare(blocks, batch)


def run(path, engine):
    reports = []
    with Journal(path, IDENTITY) as journal:
        campaign = Campaign(small_plan(), LocalSession(engine), journal, EFFORT, 1, 0)
        campaign.run(lambda *values: reports.append(values))
    return campaign, reports


def test_campaign_measures_exactly(tmp_path):
    campaign, reports = run(tmp_path / "j.jsonl", Counting())
    entries, noisy = campaign.blocks()
    assert not noisy and campaign.stopped_by == "stable"
    assert {b: pytest.approx(m.median_s, rel=1e-3) for b, m in entries.items()} == {
        b: block_s(b) for b in dict.fromkeys(NET.blocks[1:4])
    }
    jobs = len(small_plan().jobs)
    assert reports == [(p, n, jobs) for p in range(2) for n in range(1, jobs + 1)]


@pytest.mark.parametrize("stop_at", [0, 1, 3, 5, 8])
def test_nothing_is_measured_twice(tmp_path, stop_at):
    complete = Counting()
    expected, _ = run(tmp_path / "complete.jsonl", complete)
    path = tmp_path / "j.jsonl"
    first, second = Counting(stop_at), Counting()
    with pytest.raises(KeyboardInterrupt, match="stop here"):
        run(path, first)
    done = len(path.read_text().splitlines()) - 1
    campaign, _ = run(path, second)
    keys = list(campaign.journal.done)
    assert len(set(keys)) == len(path.read_text().splitlines()) - 1
    assert done == 0 or second.prepared < complete.prepared
    assert campaign.blocks()[0].keys() == expected.blocks()[0].keys()


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{root!r}]
import tests.latency.builder.test_campaign as t
from space.common.jsonl import JsonLines
append, lines = JsonLines.append, []
def dying(self, values):
    lines.append(values)
    if len(lines) == 4:
        with self.path.open("ab") as file:
            file.write(b'{{"pass": 0, "job"')  # half a line
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, values)
JsonLines.append = dying
t.run(Path(sys.argv[1]), t.Counting())
"""


@pytest.mark.slow
def test_resumes_after_kill_9_in_the_middle_of_a_line(tmp_path, root):
    path = tmp_path / "j.jsonl"
    code = KILLED.format(root=str(root))
    killed = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    assert path.read_bytes().endswith(b'{"pass": 0, "job"')
    before = path.read_bytes().rsplit(b"\n", 1)[0]
    complete, resumed = Counting(), Counting()
    expected, _ = run(tmp_path / "complete.jsonl", complete)
    campaign, _ = run(path, resumed)
    assert path.read_bytes().startswith(before)
    counts = [{b: m.n for b, m in run.blocks()[0].items()} for run in (campaign, expected)]
    assert counts[0] == counts[1]
    assert resumed.prepared == complete.prepared - sum(
        len(json.loads(line)["chains"]) + 1 for line in before.decode().splitlines()[1:]
    )


@pytest.mark.parametrize(
    "grid, networks, jobs, digest",
    [
        (COARSE, 2, 36, "f1e73b1c4b6e6129"),
        (FULL, 20, 279, "04926cf951ee7812"),
        (GPU, 20, 125, "dceaf427bf1eb1df"),
    ],
)
def test_the_digest_of_a_plan_is_that_of_stored_journals(grid, networks, jobs, digest):
    """Another digest means that no unfinished build goes on. Change it only with what is timed."""
    plan = make_plan(grid, ShuffleNetV2Space(), networks, 0)
    assert (len(plan.jobs), plan.digest) == (jobs, digest)


def test_which_blocks_a_build_measures():
    """On a GPU fewer units; the heads and the networks off the shelf as on a processor."""
    assert usual_grid(coarse=True, accelerator=True) is COARSE
    assert usual_grid(coarse=False, accelerator=False) is FULL
    found = usual_grid(coarse=False, accelerator=True)
    assert found is GPU

    def of(grid, kind):
        blocks = [target.block for target in make_plan(grid, ShuffleNetV2Space(), 2, 0).targets]
        return {b for b in blocks if b.kind == kind and "relu6" not in dict(b.fields)}

    assert of(GPU, "head") == of(FULL, "head") and of(GPU, "ghost") == of(FULL, "ghost") != set()
    assert 2 * len(of(GPU, "shufflenet_v2")) < len(of(FULL, "shufflenet_v2"))


def test_how_often_blocks_occur_in_a_network():
    """ShuffleNet v2: a stem, units of stride 2 in three stages, 3, 7 and 3 after them, a head."""
    found = small_plan().occurrences()
    blocks = NET.blocks
    assert sum(found.values()) == len(blocks)
    assert found[slot(blocks[0])] == found[slot(blocks[1])] == found[slot(blocks[-1])] == 1
    assert [found[slot(blocks[i])] for i in (2, 6, 14)] == [3, 7, 3]


class Noisy:
    """A session in which blocks are noisy: their chains take 1.5 times as long in every other
    round."""

    def __init__(self, noisy):
        self.noisy = noisy

    def time(self, chains, *, rounds, **_):
        seconds = np.array([sum(block_s(b) for b in chain) + RUN_S for chain in chains])
        times = np.tile(seconds[:, None], rounds)
        for row, chain in enumerate(chains):
            if chain in self.noisy:
                times[row, ::2] *= 1.5
        return Timed(times, 0.1, 0.1, 0.0)


def test_jobs_whose_noise_weighs_most_come_first(tmp_path):
    """From the third pass on, in seconds of a network; settled jobs are not repeated."""
    plan = small_plan()
    found = []
    for noisy in (plan.targets[1:], plan.targets):
        with Journal(tmp_path / f"{len(noisy)}.jsonl", IDENTITY) as journal:
            session = Noisy([target.long for target in noisy])
            campaign = Campaign(plan, session, journal, replace(EFFORT, rounds=4), 1, 0)
            campaign.run(lambda *_: None)
            found.append([number for index, number in journal.done if index == 2])
            weights = campaign.weights(range(len(plan.jobs)), 2)
    expected, often = [], plan.occurrences()
    for target in plan.targets:  # the quartiles of eight rounds, half of them slow
        spread = 0.5 * (RUN_S + sum(block_s(b) for b in target.long)) / target.copies
        expected.append(0.93 * spread / np.sqrt(8) * often[slot(target.block)])
    assert weights == pytest.approx([*expected, 0], rel=1e-3)
    assert found == [[1], list(np.argsort(expected)[::-1])]


class TestJournal:
    def test_refuses_another_host(self, tmp_path):
        path = tmp_path / "j.jsonl"
        run(path, Counting())
        with pytest.raises(ValueError, match="begun with device 'chip', this run has 'other'"):
            Journal(path, IDENTITY | {"device": "other"})

    def test_names_file_and_line_of_damage(self, tmp_path):
        path = tmp_path / "j.jsonl"
        run(path, Counting())
        lines = path.read_text().splitlines()
        lines[2] = lines[2].replace('"pass"', '"past"')
        path.write_text("\n".join(lines) + "\n")
        with pytest.raises(ValueError, match=r"j\.jsonl, line 3: not a line of the builder's"):
            Journal(path, IDENTITY)

    def test_reads_lines_of_every_version(self, tmp_path):
        """The first had neither the device's seconds nor its state."""
        path = tmp_path / "j.jsonl"
        job = {"pass": 0, "job": 3, "wall_s": 2.0, "times": [[1e-3, 2e-3]], "reference": [[5e-3]]}
        more = {"device_s": 1.5, "processor_s": 1.0, "state": {"load": 2.0}, "chains": ["stem"]}
        rows = [IDENTITY, job, {**job, "pass": 1, **more}]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        with Journal(path, IDENTITY) as journal:
            assert list(journal.done) == [(0, 3), (1, 3)]
            assert journal.done[0, 3].times.tolist() == [[1e-3, 2e-3]]
            assert journal.done[0, 3].reference.tolist() == [[5e-3]]
            assert (journal.spent_s, journal.device_s, journal.processor_s) == (4.0, 3.5, 3.0)
            assert journal.states == [{}, {"load": 2.0}]

    def test_chain_text(self):
        a, b = Block("stem", 8, 8, c_out=4), Block("conv", 2, 2, c_in=4, c_out=4)
        assert chain_text((a, b, b)) == f"{a}; 2 x {b}"


def test_stops_when_time_is_over_but_not_before_every_block_was_measured(tmp_path):
    path = tmp_path / "j.jsonl"
    with Journal(path, IDENTITY) as journal:
        effort = replace(EFFORT, max_s=-1.0)
        session = LocalSession(get_engine("null"))
        campaign = Campaign(small_plan(), session, journal, effort, 1, 0)
        campaign.run(lambda *values: None)
    assert campaign.stopped_by == "time"
    assert {key[0] for key in campaign.journal.done} == {0}
    assert len(campaign.blocks()[0]) == len(small_plan().targets)
