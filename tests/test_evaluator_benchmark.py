"""The benchmark: rank correlations by slow loops, rebuilt networks by the tables' own counts."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from evaluator import candidates, proxy_cache, ranking, rebuilt, trained
from evaluator.benchmark import benchmark, main
from evaluator.calibrate import main as calibrate


def table_or_skip(name):
    try:
        return trained.TABLES[name]()
    except trained.MissingDataError as missing:
        pytest.skip(str(missing))


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
    found = ranking.agreement(score, accuracy, flops)
    assert found.n == 60
    assert found.spearman == pytest.approx(slow_spearman(score, accuracy))
    assert found.kendall == pytest.approx(slow_kendall(score, accuracy))
    groups = [[i for i in range(60) if 6 * d <= flops[i] < 6 * d + 6] for d in range(10)]
    within = [slow_spearman(score[g], accuracy[g]) for g in groups]
    assert found.spearman_equal_flops == pytest.approx(np.mean(within))
    taus = [slow_kendall(score[g], accuracy[g]) for g in groups]
    assert found.kendall_equal_flops == pytest.approx(np.mean(taus))
    assert found.worst_decile == pytest.approx(min(within))
    assert found.negative_deciles == sum(w < 0 for w in within)


def test_size_alone_agrees_with_nothing_at_equal_size():
    """Accuracy is FLOPs plus noise: FLOPs rank well overall and not within deciles of 2 values."""
    flops = np.repeat(np.arange(10.0), 30)
    accuracy = flops + np.random.default_rng(0).normal(0, 0.5, 300)
    found = ranking.agreement(flops, accuracy, flops)
    assert found.spearman > 0.9 and found.spearman_equal_flops == 0


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (np.zeros(29), "must be as many; got 29, 30, 30"),
        (np.full(30, np.nan), "every score must be finite"),
    ],
)
def test_scores_that_cannot_be_judged_are_refused(score, message):
    with pytest.raises(ValueError, match=message):
        ranking.agreement(score, np.arange(30.0), np.arange(30.0))


def test_too_few_networks_are_refused():
    with pytest.raises(ValueError, match="at least 30 networks"):
        ranking.agreement(np.arange(9.0), np.arange(9.0), np.arange(9.0))


def count(network, size):
    """Parameters, and multiply-adds of convolutions and linear layers, by running it."""
    flops = []
    for m in network.modules():
        if isinstance(m, nn.Conv2d):
            m.register_forward_hook(
                lambda m, i, o: flops.append(m.weight.numel() * o.shape[2] * o.shape[3])
            )
        if isinstance(m, nn.Linear):
            m.register_forward_hook(lambda m, i, o: flops.append(m.weight.numel()))
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, size, size))
    return sum(p.numel() for p in network.parameters()), sum(flops)


def test_smallest_size_space_network_has_the_published_count():
    """NATS-Bench gives 11,714 parameters for widths 8:8:8:8:8."""
    assert count(rebuilt.nats_sss([8] * 5), 32)[0] == 11_714


@pytest.mark.parametrize("row", [0, 1, 1000, 12345, 20000, 32767])
def test_rebuilt_nats_network_meets_the_tables_counts(row):
    table = table_or_skip("nats-sss")
    expected = (table.params[row], table.flops[row])
    assert count(rebuilt.network(table, row), 32) == expected


@pytest.mark.parametrize("row", [0, 1234, 2500, 4000, 5137])
def test_rebuilt_accel_network_meets_the_tables_count(row):
    table = table_or_skip("accel-nasbench")
    network = rebuilt.network(table, row)
    assert sum(p.numel() for p in network.parameters()) == round(table.params[row])
    with torch.no_grad():
        assert network.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


def test_rebuilt_weights_follow_the_seed_and_leave_the_global_generator():
    table = table_or_skip("nats-sss")
    before = torch.get_rng_state()
    one, same, other = (rebuilt.network(table, 7, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one[0].weight, same[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)


def test_layer_sums_equal_a_walk_over_the_rebuilt_modules():
    """Log output widths and log fan-in of every stage's convolutions, read off the modules."""
    for name, row in (("nats-sss", 23456), ("accel-nasbench", 321)):
        table = table_or_skip(name)
        widths = fan_in = 0.0
        stem_or_head = {"nats-sss": ["0"], "accel-nasbench": ["0", "head"]}[name]
        network = rebuilt.network(table, row)
        names = [n for n, _ in network.named_children()]
        if "head" in stem_or_head:
            stem_or_head[1] = names[-4]
        for path, m in network.named_modules():
            projection = "shortcut" in path or "from_0_to_3" in path
            if (
                isinstance(m, nn.Conv2d)
                and path.split(".")[0] not in stem_or_head
                and not projection
            ):
                widths += np.log(m.out_channels)
                fan_in += np.log(m.weight[0].numel())
        assert table.log_width_layers[row] == pytest.approx(widths)
        assert table.fan_in_layers[row].sum() == pytest.approx(fan_in)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "accuracy", "reference"),
    [
        ("nats-sss", "ImageNet16-120", {"log widths, per stage": 0.925, "params": 0.832}),
        ("accel-nasbench", "ImageNet", {"log params + log FLOPs": 0.834}),
    ],
)
def test_baselines_meet_their_reference_values(name, accuracy, reference):
    table = table_or_skip(name)
    scores = candidates.formulas(table)
    for score, expected in reference.items():
        found = ranking.agreement(scores[score], table.accuracy[accuracy], table.flops)
        assert found.spearman == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_closed_form_beats_size_at_equal_flops_and_is_as_docs_score_says():
    documented = {
        "CIFAR-10": 0.922,
        "CIFAR-100": 0.894,
        "ImageNet16-120": 0.907,
        "ImageNet": 0.869,
    }
    for name in trained.TABLES:
        table = table_or_skip(name)
        scores = candidates.formulas(table)
        for target, accuracy in table.accuracy.items():
            ours, params, flops = (
                ranking.agreement(scores[score], accuracy, table.flops).spearman_equal_flops
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


def test_sample_of_a_wrong_size_is_refused(capsys):
    table_or_skip("accel-nasbench")
    assert main(["accel-nasbench", "--proxies", "3"]) == 2
    assert "--proxies takes 30 to 2569 networks; got 3" in capsys.readouterr().err


def test_unknown_proxies_are_refused(capsys, tmp_path):
    table_or_skip("accel-nasbench")
    cache = str(tmp_path / "scores.jsonl")
    command = ["accel-nasbench", "--proxies", "30", "--names", "meco,zenn", "--cache", cache]
    assert main(command) == 2
    assert "must be one of meco, naswot" in capsys.readouterr().err


@pytest.mark.slow
def test_json_has_every_score_and_the_table_prints_them(capsys):
    table_or_skip("accel-nasbench")
    assert main(["accel-nasbench", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = {(row["networks"], row["score"]): row for row in report["rows"]}
    assert rows["all", "closed form"]["n"] == 5138
    assert rows["half not fitted on", "closed form"]["n"] == 2569
    assert main(["accel-nasbench"]) == 0
    printed = capsys.readouterr().out
    assert f"{rows['all', 'closed form']['spearman_equal_flops']:.3f}" in printed


@pytest.mark.slow
def test_proxy_rows_follow_the_seed_and_are_computed_once(tmp_path, monkeypatch):
    table_or_skip("nats-sss")
    cache = tmp_path / "scores.jsonl"

    def rows(proxies, seed):
        return benchmark("nats-sss", proxies=proxies, names=["meco"], seed=seed, cache=cache)[
            "rows"
        ]

    one = rows(30, 3)
    assert {row["n"] for row in one} == {30} and len(cache.read_text().splitlines()) == 30
    written = cache.read_bytes()
    assert rows(30, 3) == one and cache.read_bytes() == written
    rows(32, 3)  # holds the smaller sample
    assert cache.read_bytes().startswith(written) and len(cache.read_text().splitlines()) == 32
    assert rows(30, 4) != one and len(cache.read_text().splitlines()) == 62
    monkeypatch.setattr(proxy_cache, "code_of", lambda module: "changed")
    rows(30, 3)
    assert len(cache.read_text().splitlines()) == 92


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
