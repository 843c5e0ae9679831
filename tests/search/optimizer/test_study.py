from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest

from latency.table.op_model import OpCostModel
from search.optimizer import SAMPLERS
from search.optimizer.study import Study, finished_study
from search.problem.baseline import paper_axes
from search.problem.budget import parse_budgets
from search.problem.estimate_score import with_estimate
from search.problem.problem import Axes, Axis, Problem
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.cost.guidelines import Guidelines


def _genes(study: Study) -> list[bytes]:
    return [found.genes.tobytes() for found in study.evaluations]


@pytest.fixture(params=SAMPLERS)
def sampler(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestEverySampler:
    """What each sampler's study must do."""

    def test_trials_are_recomputed(self, sampler: str, problem: Problem) -> None:
        study = finished_study(problem, 12, sampler=sampler, seed=1)
        trials = study.live.get_trials()
        assert [trial.number for trial in trials] == list(range(12))
        space = problem.space
        for trial, found in zip(trials, study.evaluations, strict=True):
            arch = space.parse(trial.user_attrs["architecture"])
            assert [arch.genes[space.position(n)] for n in trial.params] == list(
                trial.params.values()
            )
            assert arch.genes == tuple(found.genes[0])
            blocks = space.lower(arch).blocks
            numbers = Guidelines.of(blocks)
            expected = {name: getattr(numbers, name) / limit - 1
                        for name, limit in problem.constraints if name != "flops"}  # fmt: skip
            expected["flops"] = sum(block.flops for block in blocks) / 146e6 - 1
            assert dict(trial.constraints) == pytest.approx(expected, abs=1e-12)
            assert trial.values == [found.score[0], found.costs.latency_s[0]]
            assert trial.values[1] == pytest.approx(problem.table.network_s(blocks), rel=1e-12)

    def test_params_are_in_range(self, sampler: str, problem: Problem) -> None:
        for trial in finished_study(problem, 12, sampler=sampler).live.get_trials():
            assert list(trial.params) == [axis.name for axis in problem.axes.axes]
            assert all(0 <= trial.params[a.name] < a.size for a in problem.axes.axes)

    def test_same_seed_same_bytes(self, sampler: str, problem: Problem) -> None:
        first, second, other = (
            finished_study(problem, 12, sampler=sampler, seed=seed) for seed in (4, 4, 5)
        )
        assert _genes(first) == _genes(second)
        assert not set(_genes(first)) & set(_genes(other))

    @pytest.mark.slow
    def test_optuna_opens_the_file(self, sampler: str, problem: Problem, tmp_path: Path) -> None:
        path = tmp_path / "study.db"
        study = finished_study(problem, 6, path=path, sampler=sampler)
        storage = f"sqlite:///{path}"
        loaded = optuna.load_study(study_name="g4nas", storage=storage)
        assert [d.name for d in loaded.directions] == ["MAXIMIZE", "MINIMIZE"]
        live, stored = study.live.get_trials(), loaded.get_trials()
        for field in ("number", "params", "values", "constraints", "user_attrs", "state"):
            assert [getattr(t, field) for t in stored] == [getattr(t, field) for t in live]

    @pytest.mark.slow
    def test_resuming_draws_nothing_twice(
        self, sampler: str, problem: Problem, tmp_path: Path
    ) -> None:
        path = tmp_path / "study.db"
        first = finished_study(problem, 6, path=path, sampler=sampler)
        second = finished_study(problem, 12, path=path, sampler=sampler)
        assert second.trials == 12
        assert _genes(second)[:6] == _genes(first)
        assert len(set(_genes(second))) == 12
        assert second.duplicates == 0

    @pytest.mark.slow
    def test_a_finished_study_is_left_alone(
        self, sampler: str, problem: Problem, tmp_path: Path
    ) -> None:
        path = tmp_path / "study.db"
        before = _genes(finished_study(problem, 3, path=path, sampler=sampler))
        assert _genes(finished_study(problem, 2, path=path, sampler=sampler)) == before


@pytest.mark.slow
def test_sixty_straight_are_25_and_35(problem: Problem, tmp_path: Path) -> None:
    """Across a generation of NSGA-II, with the study closed and opened in between."""
    path = tmp_path / "study.db"
    straight = finished_study(problem, 60, seed=3)
    assert _genes(finished_study(problem, 25, path=path, seed=3)) == _genes(straight)[:25]
    resumed = finished_study(problem, 60, path=path, seed=3)
    assert _genes(resumed) == _genes(straight)
    assert straight.duplicates == 0
    assert len(set(_genes(straight))) == 60


def _small(space: ShuffleNetV2Space, arm: OpCostModel, sizes: tuple[int, ...]) -> Problem:
    """Widths of stage 2, depths of stage 2, ...: the first few choices of some parameters."""
    parameters = ("width2", "depth2", "split3", "kernel4")[: len(sizes)]
    base = np.array(space.point((48, 96, 192)).genes, dtype=np.int16)

    def genes(choices: np.ndarray) -> np.ndarray:
        rows = np.repeat(base[None], len(choices), axis=0)
        rows[:, [space.position(parameter) for parameter in parameters]] = choices
        return rows

    axes = Axes(tuple(Axis(s, n) for s, n in zip(parameters, sizes, strict=True)), genes)
    return Problem(space, arm, parse_budgets(["146M"]), only=axes)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(7,), (3, 2), (5, 2, 2, 1), (1,)])
def test_small_spaces_are_exhausted(
    sizes: tuple[int, ...], space: ShuffleNetV2Space, arm: OpCostModel, tmp_path: Path
) -> None:
    problem = _small(space, arm, sizes)
    path = tmp_path / "study.db"
    study = finished_study(problem, 100, path=path)
    every = np.array(list(itertools.product(*map(range, sizes))))
    assert sorted(_genes(study)) == sorted(row.tobytes() for row in problem.axes.genes(every))
    assert finished_study(problem, 200, path=path).trials == np.prod(sizes)


def test_the_papers_axis_is_exhausted_best_first(
    space: ShuffleNetV2Space, arm: OpCostModel
) -> None:
    problem = Problem(space, arm, parse_budgets(["146M"]), only=paper_axes(space))
    study = finished_study(problem, 100)
    found = study.evaluated()
    feasible = found.feasible
    assert len(found) == 59
    assert feasible[: feasible.sum()].all()  # what breaks a limit comes last


CHILD = """
import sys
from pathlib import Path
from latency.table.load import load_table
from search.problem.budget import parse_budgets
from search.problem.estimate_score import with_estimate
from search.problem.problem import Problem
from search.optimizer.study import Study
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
problem = Problem(ShuffleNetV2Space(), load_table("arm"), parse_budgets(["146M"]))
study = Study.open(problem, seed=3, path=Path(sys.argv[1]))
for done in study.run(10_000):
    print(done, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 20])
def test_kill_9_loses_no_finished_trial(
    after: int, problem: Problem, root: Path, tmp_path: Path
) -> None:
    path = tmp_path / "study.db"
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )
    assert child.stdout is not None
    with child.stdout as lines:
        for line in lines:
            if int(line) >= after:
                child.send_signal(signal.SIGKILL)
                break
        finished = [after, *map(int, lines.read().split())]
    assert child.wait() == -signal.SIGKILL
    study = Study.open(problem, seed=3, path=path)
    assert study.trials >= finished[-1]
    more = study.trials + 5
    assert _genes(finished_study(problem, more, path=path, seed=3)) == _genes(
        finished_study(problem, more, seed=3)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, t: {"problem": Problem(s, t, parse_budgets(["147M"]))}, "constraints: "),
        (lambda s, t: {"problem": Problem(s, t, parse_budgets(["146M"]), ("g2",))}, "slots: "),
        (lambda s, t: {"seed": 1}, r"seed: stored 0, requested 1"),
        (lambda s, t: {"sampler": "tpe"}, "sampler: stored prescreened, requested tpe"),
    ],
)
def test_a_study_of_something_else(
    change: Callable[..., dict[str, object]],
    message: str,
    problem: Problem,
    space: ShuffleNetV2Space,
    arm: OpCostModel,
    tmp_path: Path,
) -> None:
    path = tmp_path / "study.db"
    before = _genes(finished_study(problem, 2, path=path))
    options = {"problem": problem, **change(space, arm)}
    with pytest.raises(ValueError, match=f"was created with other settings .*{message}"):
        Study.open(path=path, **options)  # type: ignore[arg-type]
    assert _genes(Study.open(problem, path=path)) == before


@pytest.mark.slow
def test_a_changed_table_is_noticed(problem: Problem, arm: OpCostModel, tmp_path: Path) -> None:
    """Rows and checksum as before, but another scale factor: stored latencies no longer hold."""
    path = tmp_path / "study.db"
    finished_study(problem, 2, path=path)
    scale = {"factor": 1.01, "how": "test"}
    header = arm.header.from_json(json.dumps({**json.loads(arm.header.to_json()), "scale": scale}))
    other = Problem(problem.space, OpCostModel(header, arm.coefficients), problem.budgets)
    with pytest.raises(ValueError, match="trial 0 has other values under the present"):
        Study.open(other, path=path)


@pytest.mark.slow
def test_unfinished_trials_of_others_are_passed_over(problem: Problem, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    before = _genes(finished_study(problem, 2, path=path))
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    optuna.load_study(study_name="g4nas", storage=storage).ask()
    storage.remove_session()
    storage.engine.dispose()
    assert _genes(Study.open(problem, path=path)) == before


def test_nothing_tried(problem: Problem) -> None:
    with pytest.raises(ValueError, match="at least one trial must have finished; got none"):
        Study.open(problem).evaluated()


def test_unknown_sampler(problem: Problem) -> None:
    with pytest.raises(ValueError, match=r"one of prescreened, nsga2, tpe, random; got 'pso'"):
        Study.open(problem, sampler="pso")


def test_a_study_of_another_score_says_how_to_go_on_with_it(
    problem: Problem, tmp_path: Path
) -> None:
    """As stored before the estimate was a score, and the other way round."""
    estimated = with_estimate(problem, recipe="torchvision", optimism=0)
    for stored, asked, option in (
        (problem, estimated, "closed-form"), (estimated, problem, "estimate"),
    ):  # fmt: skip
        path = tmp_path / f"{option}.db"
        finished_study(stored, 1, path=path)
        with pytest.raises(ValueError, match=f"Use --score {option}, or another --out$"):
            finished_study(asked, 1, path=path)
        assert finished_study(stored, 2, path=path).trials == 2
    bold = with_estimate(problem, recipe="torchvision", optimism=1)
    with pytest.raises(ValueError, match=r"optimism=1, .*\. Use another --out$"):
        finished_study(bold, 1, path=tmp_path / "estimate.db")
