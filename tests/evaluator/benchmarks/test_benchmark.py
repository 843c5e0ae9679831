"""The benchmark: rank correlations by slow loops."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest

from evaluator.benchmark import main
from evaluator.benchmarks import DATASETS
from evaluator.benchmarks.public_tables import read_table
from evaluator.benchmarks.ranking import agreement, benchmark_scores, formulas, print_scores
from evaluator.calibrate import main as calibrate
from tests.helpers.small_tables import write_table


def slow_spearman(x, y):
    """Pearson correlation of ranks; no ties."""
    rank_x = [sum(other < value for other in x) for value in x]
    rank_y = [sum(other < value for other in y) for value in y]
    return np.corrcoef(rank_x, rank_y)[0, 1]


def slow_kendall(x, y):
    """Concordant less discordant pairs; no ties."""
    pairs = [
        np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])
        for i, j in itertools.combinations(range(len(x)), 2)
    ]
    return np.mean(pairs)


def test_agreement_equals_slow_loops():
    rng = np.random.default_rng(0)
    flops = rng.permutation(60).astype(float)
    accuracy = flops + rng.normal(0, 8, 60)
    score = accuracy + rng.normal(0, 8, 60)
    found = agreement(score, accuracy, flops)
    assert found["n"] == 60
    assert found["spearman"] == pytest.approx(slow_spearman(score, accuracy))
    assert found["kendall"] == pytest.approx(slow_kendall(score, accuracy))
    groups = [[i for i in range(60) if 6 * d <= flops[i] < 6 * d + 6] for d in range(10)]
    within = [slow_spearman(score[g], accuracy[g]) for g in groups]
    assert found["spearman_equal_flops"] == pytest.approx(np.mean(within))
    taus = [slow_kendall(score[g], accuracy[g]) for g in groups]
    assert found["kendall_equal_flops"] == pytest.approx(np.mean(taus))
    assert found["worst_decile"] == pytest.approx(min(within))
    assert found["negative_deciles"] == sum(w < 0 for w in within)


def test_size_alone_agrees_with_nothing_at_equal_size():
    """Accuracy is FLOPs plus noise: FLOPs rank well overall, and are constant in each decile."""
    flops = np.repeat(np.arange(10.0), 30)
    accuracy = flops + np.random.default_rng(0).normal(0, 0.5, 300)
    found = agreement(flops, accuracy, flops)
    assert found["spearman"] > 0.9 and found["kendall"] > 0.8
    assert found["spearman_equal_flops"] is None and found["kendall_equal_flops"] is None
    assert found["worst_decile"] is None and found["negative_deciles"] == 0


def test_deciles_where_the_score_is_constant_do_not_count():
    """The first three deciles have one score; the fourth is ranked backwards, the rest rightly."""
    flops = np.arange(100.0)
    score = flops.copy()
    score[:30] = 0
    score[30:40] = score[30:40][::-1]
    found = agreement(score, flops, flops)
    assert found["spearman_equal_flops"] == pytest.approx((6 - 1) / 7)
    assert found["kendall_equal_flops"] == pytest.approx((6 - 1) / 7)
    assert found["worst_decile"] == pytest.approx(-1) and found["negative_deciles"] == 1


@pytest.mark.parametrize("constant", ["score", "accuracy"])
def test_a_constant_column_has_no_rank_correlation(constant):
    columns = {"score": np.arange(30.0), "accuracy": np.arange(30.0)} | {constant: np.ones(30)}
    found = agreement(columns["score"], columns["accuracy"], np.arange(30.0))
    assert {found[key] for key in ("spearman", "kendall", "spearman_equal_flops")} == {None}


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (np.zeros(29), "must be as many; got 29, 30, 30"),
        (np.full(30, np.nan), "every score must be finite"),
    ],
)
def test_scores_that_cannot_be_compared_are_refused(score, message):
    with pytest.raises(ValueError, match=message):
        agreement(score, np.arange(30.0), np.arange(30.0))


def test_too_few_networks_are_refused():
    with pytest.raises(ValueError, match="at least 30 networks"):
        agreement(np.arange(9.0), np.arange(9.0), np.arange(9.0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "accuracy", "reference"),
    [
        ("nats-sss", "ImageNet16-120", {"log widths, per stage": 0.925, "params": 0.832}),
        ("accel-nasbench", "ImageNet", {"log params + log FLOPs": 0.834}),
    ],
)
def test_baselines_meet_their_reference_values(public_data, name, accuracy, reference):
    table = read_table(name)
    scores = formulas(table)
    for score, expected in reference.items():
        found = agreement(scores[score], table.accuracy[accuracy], table.flops)
        assert found["spearman"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_closed_form_beats_size_at_equal_flops_as_documented(public_data):
    documented = {
        "CIFAR-10": 0.922,
        "CIFAR-100": 0.894,
        "ImageNet16-120": 0.907,
        "ImageNet": 0.869,
    }
    for name in DATASETS:
        table = read_table(name)
        scores = formulas(table)
        for target, accuracy in table.accuracy.items():
            ours, params, flops = (
                agreement(scores[score], accuracy, table.flops)["spearman_equal_flops"]
                for score in ("closed form", "params", "FLOPs")
            )
            assert ours > params + 0.05 and ours > flops + 0.5
            assert ours == pytest.approx(documented.pop(target), abs=6e-4)


def test_missing_data_is_one_line_and_exit_2(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("G4NAS_DATA", str(tmp_path))
    for command in (lambda: main(["nats-sss"]), lambda: calibrate([])):
        assert command() == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1
        assert str(tmp_path) in err and "G4NAS_DATA" in err


@pytest.fixture
def few(tmp_path):
    """A folder with a table of 40 networks of equal FLOPs."""
    rng = np.random.default_rng(0)
    columns = {f"width{i}": rng.integers(1, 9, 40) * 8 for i in range(1, 6)}
    columns |= {"params": rng.integers(10**4, 10**5, 40), "flops": np.full(40, 10**7)}
    columns |= {f"{name}_top1": rng.uniform(30, 90, 40) for name in ("cifar10", "cifar100")}
    return write_table(tmp_path, "nats_sss", columns | {"imagenet16_top1": np.full(40, 50.0)})


def test_a_missing_rank_correlation_is_null_and_a_dash(few, capsys):
    assert main(["nats-sss", "--data", str(few), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    found = {(row["accuracy"], row["score"]): row for row in rows}
    assert len(found) == 27
    assert found["CIFAR-10", "FLOPs"]["spearman"] is None
    assert found["ImageNet16-120", "params"]["kendall_equal_flops"] is None
    assert isinstance(found["CIFAR-10", "params"]["spearman"], float)
    print_scores(benchmark_scores("nats-sss", data=few))
    printed = capsys.readouterr().out
    lines = [
        line.split() for line in printed.splitlines() if "FLOPs " in line and "log" not in line
    ]
    assert lines[0][1::2] == ["FLOPs", "-", "-", "-", "-", "-", "0"]


@pytest.mark.slow
def test_json_has_every_score_and_the_table_prints_them(public_data, capsys):
    assert main(["accel-nasbench", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = {(row["networks"], row["score"]): row for row in report["rows"]}
    assert rows["all", "closed form"]["n"] == 5138
    assert rows["half not fitted on", "closed form"]["n"] == 2569
    assert main(["accel-nasbench"]) == 0
    printed = capsys.readouterr().out
    assert f"{rows['all', 'closed form']['spearman_equal_flops']:.3f}" in printed


@pytest.mark.parametrize("module", ["evaluator.benchmark", "evaluator.calibrate"])
def test_help_loads_nothing_heavy(module):
    code = (
        f"import sys; from {module} import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'scipy', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--data" in done.stdout and done.stderr == ""
