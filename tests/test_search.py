"""The search from budgets to files: expected values by slow routes, errors as users meet them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from latency.table import load_table
from search.baseline import baseline
from search.bound import Bounds
from search.budget import Budget, parse_budgets
from search.problem import Problem, nondominated
from search.propose import children, pick
from search.run import main
from search.study import SAMPLERS, Study
from space.guidelines import Guidelines
from space.shufflenet_v2 import ShuffleNetV2Space


def problem(*budgets: str, target: str = "arm", relax: tuple[str, ...] = ()) -> Problem:
    return Problem(ShuffleNetV2Space(), load_table(target), parse_budgets(budgets), relax)


@pytest.mark.parametrize(
    ("text", "cost", "limit"),
    [
        ("146M", "flops", 146e6),
        ("1.2G", "flops", 1.2e9),
        ("2.3Mparams", "params", 2.3e6),
        ("30ms", "latency_s", 0.03),
        ("500us", "latency_s", 5e-4),
        ("1.5s", "latency_s", 1.5),
    ],
)
def test_budgets_parse_and_print_back(text: str, cost: str, limit: float) -> None:
    budget = Budget.parse(text)
    assert (budget.cost, str(budget)) == (cost, text)
    assert budget.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    "text", ["146", "146m", "30MS", "-5M", "0M", "nanM", "", "M", "1e6", "5 M"]
)
def test_malformed_budgets_are_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="146M or"):
        Budget.parse(text)


def test_one_budget_a_cost() -> None:
    with pytest.raises(ValueError, match="146M and 1G"):
        parse_budgets(["146M", "1G"])


def test_evaluation_equals_the_slow_route() -> None:
    """Costs and constraints recomputed block by block from the lowered network."""
    found = problem("146M", "2Mparams", "30ms")
    genes = found.space.sample(20, np.random.default_rng(0))
    got = found.evaluate(genes)
    for row in range(20):
        network = found.space.lower(found.space.architecture(genes[row]))
        latency = sum(found.table.network_s([block]) for block in network.blocks)
        own = Guidelines.of(network.blocks)
        expected = {
            "flops": network.flops / 146e6 - 1,
            "params": network.params / 2e6 - 1,
            "latency_s": latency / 0.03 - 1,
            "g1": own.g1 / 1.05 - 1,
            "g2": own.g2 / 1.05 - 1,
            "g3": own.g3 / 5 - 1,
            "g4": own.g4 / 0.48 - 1,
        }
        assert [name for name, _ in found.constraints] == list(expected)
        assert got.violations[row] == pytest.approx(list(expected.values()), abs=1e-9)
        assert got.feasible[row] == all(value <= 0 for value in expected.values())


def test_relaxing_opens_axes_and_drops_the_limit() -> None:
    relaxed = problem("146M", relax=("g2",))
    assert "g2" not in dict(relaxed.constraints)
    assert {axis.name for axis in relaxed.axes.axes} - {
        axis.name for axis in problem("146M").axes.axes
    } == {"groups"}


def test_nondominated_equals_a_slow_loop() -> None:
    rng = np.random.default_rng(1)
    score, latency = rng.integers(0, 12, 60).astype(float), rng.integers(0, 12, 60).astype(float)
    points = {
        (latency[i], score[i])
        for i in range(60)
        if not any(
            score[j] >= score[i]
            and latency[j] <= latency[i]
            and (score[j], latency[j]) != (score[i], latency[i])
            for j in range(60)
        )
    }
    rows = nondominated(score, latency)
    assert [(latency[i], score[i]) for i in rows] == sorted(points)


def test_children_stay_in_range_and_repeat_by_seed() -> None:
    sizes = np.array([3, 50, 2])
    parents = np.array([[0, 10, 1], [2, 40, 0]])
    first = children(parents, sizes, 500, np.random.default_rng(3))
    again = children(parents, sizes, 500, np.random.default_rng(3))
    assert first.tobytes() == again.tobytes()
    assert (first >= 0).all()
    assert (first < sizes).all()
    assert len(np.unique(first[:, 1])) > 20  # not only copies of the parents


def test_pick_prefers_feasible_then_least_violation() -> None:
    score, latency = np.array([9.0, 5.0, 1.0]), np.array([3.0, 2.0, 1.0])
    over = np.array([[0.5], [-0.1], [-0.1]])
    everything = np.ones(3, dtype=bool)
    assert pick(score, latency, over, everything, 1.0) == 1
    assert pick(score, latency, over, everything, 0.0) == 2
    assert pick(score, latency, np.array([[0.5], [0.2], [0.9]]), everything, 1.0) == 1
    with pytest.raises(ValueError, match="at least one row"):
        pick(score, latency, over, ~everything, 1.0)


@pytest.mark.parametrize(
    ("budget", "name"), [("41M", "0.5x"), ("146M", "1x"), ("299M", "1.5x"), ("591M", "2x")]
)
def test_the_baseline_of_the_papers_budgets_is_the_papers_network(budget: str, name: str) -> None:
    base = baseline(problem(budget))
    assert base is not None
    assert base.name == f"ShuffleNet v2 {name}"


def test_no_baseline_below_the_narrowest() -> None:
    assert baseline(problem("5M")) is None


class TestEverySampler:
    """What every sampler must do; a new one is covered by standing in `SAMPLERS`."""

    @pytest.fixture(params=SAMPLERS)
    def sampler(self, request: pytest.FixtureRequest) -> str:
        return request.param

    def test_trials_carry_values_and_constraints(self, sampler: str, tmp_path: Path) -> None:
        import optuna

        path = tmp_path / "study.db"
        study = Study.open(problem("146M"), seed=1, sampler=sampler, path=path)
        list(study.run(6))
        loaded = optuna.load_study(study_name="g4nas", storage=f"sqlite:///{path}")
        assert len(loaded.trials) == 6
        for number, trial in enumerate(loaded.trials):
            one = study.evaluations[number]
            space = study.problem.space
            network = space.lower(space.parse(trial.user_attrs["architecture"]))
            assert trial.constraints["flops"] == pytest.approx(network.flops / 146e6 - 1)
            assert set(trial.constraints) == {"flops", "g1", "g2", "g3", "g4"}
            assert trial.values == pytest.approx([one.score[0], one.costs.latency_s[0]])
            assert trial.values[1] == pytest.approx(
                study.problem.table.network_s(network.blocks), rel=1e-9
            )

    def test_one_seed_one_search(self, sampler: str) -> None:
        runs = []
        for _ in range(2):
            study = Study.open(problem("146M"), seed=7, sampler=sampler)
            list(study.run(12))
            runs.append(study.evaluated().genes.tobytes())
        assert runs[0] == runs[1]


@pytest.mark.slow
def test_resumed_equals_uninterrupted_and_nothing_is_tried_twice(tmp_path: Path) -> None:
    straight = Study.open(problem("146M"), seed=2)
    list(straight.run(60))
    path = tmp_path / "study.db"
    list(Study.open(problem("146M"), seed=2, path=path).run(25))
    resumed = Study.open(problem("146M"), seed=2, path=path)
    assert resumed.trials == 25
    list(resumed.run(60))
    assert resumed.evaluated().genes.tobytes() == straight.evaluated().genes.tobytes()
    assert len(straight.seen) == 60
    assert straight.duplicates == 0


@pytest.mark.slow
def test_bound_is_reached_by_no_network() -> None:
    found = problem("146M")
    bounds, base = Bounds(found), baseline(found)
    assert base is not None
    rng = np.random.default_rng(5)
    many = found.evaluate(found.space.sample(200_000, rng))
    prices = {"latency_s": 100.0, "flops": 2e-8}
    priced = many.score - 100 * many.costs.latency_s - 2e-8 * many.costs.flops
    assert bounds.best_priced(prices) >= priced.max()
    study = Study.open(found, seed=0)
    list(study.run(120))
    searched = study.evaluated()
    score, latency = float(base.found.score[0]), float(base.found.costs.latency_s[0])
    fastest, highest = bounds.latency_at(score), bounds.score_at(latency)
    for some in (many, searched):
        good = some.feasible & (some.score >= score)
        fast = some.feasible & (some.costs.latency_s <= latency)
        assert not good.any() or some.costs.latency_s[good].min() >= fastest
        assert not fast.any() or some.score[fast].max() <= highest
    # and the bound is of use: the search comes near it
    assert searched.costs.latency_s[searched.feasible & (searched.score >= score)].min() < (
        1.1 * fastest
    )


def test_best_priced_equals_brute_force() -> None:
    """Every network of a few choices per slot: the priced best cannot lie below any of them, and
    is attained when the rest of the space is priced out by restricting the tables."""
    found = problem("146M")
    bounds = Bounds(found)
    prices = {"latency_s": 400.0}
    rng = np.random.default_rng(0)
    genes = found.space.sample(2_000, rng)
    best = genes[0]
    for _ in range(30):  # coordinate ascent, exact in each slot
        for column, slot in enumerate(found.space.slots):
            rows = np.repeat(best[None], slot.open_choices, axis=0)
            rows[:, column] = np.arange(slot.open_choices)
            some = found.evaluate(rows)
            best = rows[np.argmax(some.score - 400 * some.costs.latency_s)]
    some = found.evaluate(best[None])
    local = float(some.score[0] - 400 * some.costs.latency_s[0])
    assert local <= bounds.best_priced(prices) + 1e-9
    assert bounds.best_priced(prices) - local < 0.35  # ascent ends near the exact optimum


def test_bound_needs_closed_axes() -> None:
    with pytest.raises(ValueError, match="closed"):
        Bounds(problem("146M", relax=("g1",)))


def run(*words: str, out: Path) -> int:
    return main([*words, "--out", str(out)])


@pytest.mark.slow
def test_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files, sources, weights and ONNX that agree; a second run gives the same."""
    import onnxruntime
    import torch
    from safetensors.torch import load_file

    from space.build import build

    words = ("--target", "arm", "--budget", "41M", "--trials", "40", "--format", "json")
    assert run(*words, out=tmp_path) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["baseline"]["name"] == "ShuffleNet v2 0.5x"
    for row in [*first["winners"], first["baseline"], *first["others"]]:
        assert row["latency_source"] == "published"
    space = ShuffleNetV2Space()
    for winner in first["winners"]:
        network = space.lower(space.parse(winner["architecture"]))
        assert (winner["flops"], winner["params"]) == (network.flops, network.params)
        assert winner["flops"] <= 41e6
        assert winner["onnx_max_relative_difference"] < 1e-4
        module = build(network, seed=9)
        weights, graph = (tmp_path / name for name in winner["files"])
        module.load_state_dict(load_file(weights))
        image = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(4))
        (got,) = onnxruntime.InferenceSession(graph).run(None, {"input": image.numpy()})
        with torch.inference_mode():
            assert np.allclose(got, module(image).numpy(), atol=1e-5)
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert run(*words, out=tmp_path) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["winners"] == first["winners"]
    assert run("--target", "arm", "--budget", "42M", out=tmp_path) == 2
    assert "something else" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("--target", "tpu", "--budget", "146M"), 2, "unknown target 'tpu'.*arm"),
        (("--target", "arm", "--budget", "146"), 2, "146M or 1.2G"),
        (("--target", "arm", "--budget", "-5M"), 2, "146M or 1.2G"),
        (("--target", "arm"), 2, "at least one budget"),
        (("--target", "arm", "--budget", "146M", "--trials", "0"), 2, "--trials"),
        (("--target", "arm", "--budget", "146M", "--resume"), 2, "no .*study.db"),
        (("--target", "arm", "--budget", "1M", "--trials", "5"), 1, "5 tried, the nearest has"),
    ],
)
def test_mistakes_are_one_line(
    words: tuple[str, ...],
    status: int,
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import re

    assert run(*words, out=tmp_path / "out") == status
    err = capsys.readouterr().err
    assert re.search(told, err)
    assert err.count("\n") == 1


def test_garbage_in_place_of_a_study_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.db").write_bytes(b"not a database" * 100)
    assert run("--target", "arm", "--budget", "41M", out=tmp_path) == 2
    assert "study.db" in capsys.readouterr().err
    assert (tmp_path / "study.db").read_bytes() == b"not a database" * 100


def test_a_file_in_place_of_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("mine")
    assert run("--target", "arm", "--budget", "41M", out=tmp_path / "out") == 2
    assert (tmp_path / "out").read_text() == "mine"
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_kill_9_loses_no_finished_trial(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "search.run", "--target", "arm", "--budget", "41M"]
    command += ["--trials", "100000", "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    path, deadline = tmp_path / "study.db", time.monotonic() + 60
    import sqlite3

    def stored() -> int:
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
                return int(connection.execute("select count(*) from trials").fetchone()[0])
        except sqlite3.OperationalError:
            return 0

    while stored() < 10 and time.monotonic() < deadline:
        time.sleep(0.1)
    before = stored()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert before >= 10
    resumed = Study.open(problem("41M"), path=path)
    assert resumed.trials >= before
    straight = Study.open(problem("41M"))
    list(straight.run(resumed.trials))
    assert resumed.evaluated().genes.tobytes() == straight.evaluated().genes.tobytes()


@pytest.mark.slow
def test_the_papers_widths_are_recovered(capsys: pytest.CaptureFixture[str]) -> None:
    from search import reproduce

    assert reproduce.main(["--seeds", "2", "--full-seeds", "0", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["paper_axes"]
    assert [row["widths"] for row in rows] == [
        [48, 96, 192],
        [116, 232, 464],
        [176, 352, 704],
        [244, 488, 976],
    ]
    assert all(row["recovered"] == 2 for row in rows)


@pytest.mark.slow
def test_benchmark_and_ablation_print_json(capsys: pytest.CaptureFixture[str]) -> None:
    from search import ablation, benchmark

    assert benchmark.main(["scoring", "--architectures", "20000", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["architectures_per_s"] > 0
    assert ablation.main(["--trials", "20", "--seeds", "1", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["dropped"] for row in rows] == [None, "g1", "g2", "g3", "g4"]


def test_limits_of_a_device_take_the_papers_place() -> None:
    limits = Guidelines(g1=1.02, g2=float("inf"), g3=5, g4=0.37)
    found = Problem(ShuffleNetV2Space(), load_table("arm"), parse_budgets(["146M"]), limits=limits)
    assert dict(found.constraints) == {"flops": 146e6, "g1": 1.02, "g3": 5.0, "g4": 0.37}
    genes = found.space.sample(300, np.random.default_rng(2))
    got = found.evaluate(genes)
    assert (got.costs.g4[got.feasible] <= 0.37).all()
    assert got.feasible.sum() < problem("146M").evaluate(genes).feasible.sum()


def test_a_bad_limits_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "limits.json").write_text('{"schema": 1}')
    words = ("--target", "arm", "--budget", "41M", "--guidelines", str(tmp_path / "limits.json"))
    assert run(*words, out=tmp_path / "out") == 2
    assert "must have `limits`" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_every_shipped_table_states_its_error() -> None:
    from latency.table import shipped_tables
    from search.report import latency_line, mean_error

    for name in shipped_tables():
        header = load_table(name).header
        error = mean_error(header)
        assert error is not None
        assert 0 < error[0] < 0.1
        assert f"mean error {error[0]:.1%} on " in latency_line(header)


@pytest.mark.slow
def test_networks_are_run_whole_only_where_the_table_is_of_this_machine() -> None:
    from dataclasses import replace

    from latency.host import chip
    from search.verify import measured_whole
    from space.network import shufflenet_v2

    header = load_table("epyc-milan-ort").header
    networks = [shufflenet_v2("0.5"), shufflenet_v2("1.5")]
    small, large = measured_whole(replace(header, device=chip()), networks) or (0, 0)
    assert 0 < small < large
    assert measured_whole(replace(header, device="another chip"), networks) is None
    assert measured_whole(load_table("arm").header, networks) is None
