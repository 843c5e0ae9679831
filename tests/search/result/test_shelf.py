"""What of the shelf a result shows: by hand on tables of known sums, and by a slow front."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from latency.table.header import TableHeader
from latency.table.latency_table import LatencyTable, Measurement
from latency.table.load import load_table
from search.problem.baseline import baseline
from search.problem.budget import parse_budgets
from search.problem.problem import Problem, nondominated
from search.problem.shape import IMAGENET, NetworkShape
from search.result.rows import ResultRow
from search.result.shelf import Shelf, ShelfPrices, choose_shelf, shelf_prices, with_whole_runs
from search.result.shelf_text import print_shelf, shelf_lines, verdict
from search.result.shelf_times import PricedNetwork, family_name
from space.cost.guidelines import Guidelines
from space.network.network import Network
from space.zoo.catalog import published_network, shelf_networks
from space.zoo.families import shufflenet_v2

HEADER = TableHeader(
    layout="blocks", target="hand", source="measured", device="chip", engine="onnxruntime",
    date="2026-01-31",
)  # fmt: skip
MS = 1e-3
# Published top-1 in per cent, as the zoo's sources print it.
TOP1 = {
    "PP-LCNet 0.75": 68.18, "PP-LCNet 1.0": 71.32, "MobileNetV4-Conv-S": 73.756,
    "RepGhost 0.8x": 72.24, "ShuffleNet v2 1.0x": 69.362, "ShuffleNet v2 1.0x released": 69.4,
}  # fmt: skip


def row(name: str, role: str, ms: float | None, network: Network, score: float) -> ResultRow:
    seconds = None if ms is None else ms * MS
    numbers = Guidelines.of(network.blocks)
    costs = network.flops, network.params, seconds, numbers, network
    return ResultRow(name, role, *costs, score=score, genes=(1,))


def prices(**ms: float | None) -> ShelfPrices:
    """These networks, all others without a latency."""
    by_name = {name.replace("_", " "): value for name, value in ms.items()}
    found = []
    for name, entry in shelf_networks().items():
        if name in by_name:
            seconds = by_name[name]
            found.append(
                PricedNetwork(entry, entry.network(), None if seconds is None else seconds * MS)
            )
    assert len(found) == len(by_name)
    return ShelfPrices(tuple(found))


def base_row(ms: float = 10.0) -> ResultRow:
    return row("ShuffleNet v2 1x", "baseline", ms, shufflenet_v2("1.0"), 1.0)


def winner(number: int, ms: float, score: float = 1.0) -> ResultRow:
    return row(f"winner {number}", "a winner", ms, shufflenet_v2("0.5"), score)


def names(shelf: Shelf) -> list[str]:
    return [each.name for each in shelf.rows]


def of(problem: Problem, rows: Sequence[ResultRow], **ms: float | None) -> Shelf:
    return choose_shelf(prices(**ms), rows, problem)


HAND: dict[str, float | None] = {
    "PP-LCNet_0.75": 6.0, "PP-LCNet_1.0": 8.0, "MobileNetV4-Conv-S": 9.0, "RepGhost_0.8x": 9.5,
    "ShuffleNet_v2_1.0x": 10.0, "ShuffleNet_v2_1.0x_released": 9.9,
}  # fmt: skip


def test_the_best_at_each_latency(problem: Problem) -> None:
    """The baseline takes 10 ms: MobileNetV4 (9 ms, 73.8). Winners take 9.2, 8.5 and 6.5 ms:
    MobileNetV4, PP-LCNet 1.0, PP-LCNet 0.75. The fastest with 69.4 or more is PP-LCNet 1.0.
    RepGhost is slower than MobileNetV4 and worse. The baseline and its authors' variant are no
    rows."""
    rows = [winner(1, 6.5), winner(2, 8.5, 1.1), winner(3, 9.2, 1.2), base_row()]
    shelf = of(problem, rows, **HAND)
    assert names(shelf) == ["PP-LCNet 0.75", "PP-LCNet 1.0", "MobileNetV4-Conv-S"]
    assert [each.top1 for each in shelf.rows] == [TOP1[name] for name in names(shelf)]
    assert [each.row.speed_up for each in shelf.rows] == pytest.approx([10 / 6, 10 / 8, 10 / 9])
    assert shelf.best and shelf.best.name == "MobileNetV4-Conv-S"
    assert shelf.level and shelf.level.name == "PP-LCNet 1.0"
    assert shelf.base and shelf.base.top1 == TOP1["ShuffleNet v2 1.0x"]
    assert verdict(shelf, rows) == (
        "the shelf wins at ShuffleNet v2 1x's latency: MobileNetV4-Conv-S is published at 73.8 %, "
        "ShuffleNet v2 1x at 69.4 %, and takes 0.90 of its time: take it, and train winner 1 only "
        "if you need less than PP-LCNet 1.0's 8 ms"
    )


def test_no_winner_is_faster(problem: Problem) -> None:
    rows = [winner(1, 8.0), base_row()]
    shelf = of(problem, rows, **HAND)
    assert verdict(shelf, rows).endswith(
        "and takes 0.90 of its time: take it, or PP-LCNet 1.0 in 8 ms; no winner with the "
        "baseline's score is faster"
    )


def test_a_winner_below_the_baselines_score_is_no_alternative(problem: Problem) -> None:
    rows = [winner(1, 6.5, score=0.9), base_row()]
    assert verdict(of(problem, rows, **HAND), rows).endswith(
        "and takes 0.90 of its time: take it, or PP-LCNet 1.0 in 8 ms; no winner with the "
        "baseline's score is faster"
    )


def test_the_shelf_does_not_win(problem: Problem) -> None:
    rows = [winner(1, 8.5), base_row()]
    some = {"PP-LCNet_0.75": 6.0, "RepGhost_0.8x": 12.0, "ShuffleNet_v2_1.0x": 10.0}
    shelf = of(problem, rows, **some)
    assert names(shelf) == ["PP-LCNet 0.75", "RepGhost 0.8x"]
    assert verdict(shelf, rows) == (
        "the shelf does not win at ShuffleNet v2 1x's latency: PP-LCNet 0.75 is published at "
        "68.2 %, ShuffleNet v2 1x at 69.4 %; the fastest with as much is RepGhost 0.8x, 72.2 %, "
        "in 1.20 of the time"
    )


def test_nothing_is_as_fast(problem: Problem) -> None:
    rows = [winner(1, 8.5), base_row()]
    shelf = of(problem, rows, **{"RepGhost_0.8x": 12.0, "ShuffleNet_v2_1.0x": 10.0})
    assert shelf.best is None
    assert verdict(shelf, rows) == (
        "nothing off the shelf is as fast as ShuffleNet v2 1x; the fastest with as much is "
        "RepGhost 0.8x, 72.2 %, in 1.20 of the time"
    )


def test_a_small_difference_is_none(problem: Problem) -> None:
    """.2 points more in 1 % less time."""
    base = row("ShuffleNet v2 0.5x", "baseline", 10.0, shufflenet_v2("0.5"), 1.0)
    some = {"ShuffleNet_v2_0.5x": 10.0, "PP-LCNet_0.5": 9.9}  # 61.1, 63.14
    shelf = of(problem, [base], **some)
    assert shelf.base is not None and shelf.base.top1 == 61.1
    assert "the shelf wins" in verdict(shelf, [base])
    near = prices(**some)
    close = replace(near.networks[1].entry.weights[0], top1=61.3)
    entry = replace(near.networks[1].entry, weights=(close,))
    networks = (near.networks[0], replace(near.networks[1], entry=entry))
    shelf = choose_shelf(ShelfPrices(networks), [base], problem)
    assert "the shelf is level at ShuffleNet v2 0.5x's latency: " in verdict(shelf, [base])


def test_without_a_published_top1_of_the_baseline(problem: Problem) -> None:
    """Of a ShuffleNet v2 of another width nothing is published."""
    network = problem.space.lower(problem.space.point((100, 200, 400)))
    base = row("ShuffleNet v2 width 100", "baseline", 10.0, network, 1.0)
    shelf = of(problem, [base], **HAND)
    assert shelf.base is None and shelf.level is None
    assert verdict(shelf, [base]) == (
        "at ShuffleNet v2 width 100's latency the shelf has MobileNetV4-Conv-S, published at "
        "73.8 %, in 0.90 of its time; no top-1 of ShuffleNet v2 width 100 is published"
    )


def test_without_a_baseline(problem: Problem) -> None:
    rows = [winner(1, 6.5), winner(2, 8.5)]
    shelf = of(problem, rows, **HAND)
    assert names(shelf) == ["PP-LCNet 0.75", "PP-LCNet 1.0"]
    assert [each.row.speed_up for each in shelf.rows] == [None, None]
    assert verdict(shelf, rows).startswith(
        "at the slowest winner's latency the shelf has PP-LCNet"
    )


def test_estimates_of_winners(problem: Problem) -> None:
    """PP-LCNet 0.75 (68.2) at 6.5 ms, PP-LCNet 1.0 (71.3) at 8.5, MobileNetV4 (73.8) at 9.2."""
    rows = [winner(1, 6.5), winner(2, 8.5), winner(3, 9.2), winner(4, 9.3), base_row()]
    estimates = {
        "winner 1": (69.5, 68.5, 70.5),
        "winner 2": (71.0, 70.0, 72.0),
        "winner 3": (72.0, 71.0, 73.0),
        "winner 4": (72.1, 71.0, 73.1),
        "ShuffleNet v2 1x": (69.3, 69.0, 69.6),
    }
    assert verdict(of(problem, rows, **HAND), rows, estimates).endswith(
        "; against the intervals of the estimate: PP-LCNet 0.75 below winner 1's, PP-LCNet 1.0 "
        "inside winner 2's, MobileNetV4-Conv-S above winner 3's and winner 4's"
    )


def test_networks_without_a_latency_are_counted(problem: Problem) -> None:
    rows = [base_row()]
    some = prices(
        **{"PP-LCNet_1.0": 8.0, "RepGhost_0.8x": None, "MobileNetV4-Conv-S": None},
        **{"ShuffleNet_v2_1.0x": 10.0},
    )
    shelf = choose_shelf(replace(some, why="the table lacks them"), rows, problem)
    lines = shelf_lines(shelf, rows, HEADER)
    assert (
        "no latency here: 2 of 4 networks (MobileNetV4, RepGhost); the table lacks them" in lines
    )
    assert lines[-1].startswith("of the 2 with a latency: the shelf wins")
    record = shelf.record(HEADER, "")
    assert record["without_latency"] == ["MobileNetV4-Conv-S", "RepGhost 0.8x"]
    none = choose_shelf(ShelfPrices(some.networks[1:2], "no reason"), rows, problem)
    assert shelf_lines(none, rows, HEADER) == [
        "no latency here: 1 of 1 networks (MobileNetV4); no reason"
    ]


def test_budgets_that_a_row_exceeds(problem: Problem) -> None:
    """MobileNetV4-Conv-S counts 186M, PP-LCNet 1.0 155.7M and PP-LCNet 0.75 94.8M."""
    rows = [winner(1, 6.5), base_row()]
    shelf = of(problem, rows, **HAND)
    over = {each.name: each.over for each in shelf.rows}
    assert over == {
        "PP-LCNet 0.75": (), "PP-LCNet 1.0": ("146M",), "MobileNetV4-Conv-S": ("146M",)
    }  # fmt: skip
    lines = shelf_lines(shelf, rows, HEADER)
    assert "over the budget of 146M: PP-LCNet 1.0, MobileNetV4-Conv-S" in lines


def test_int8_says_what_the_top1_is_of(problem: Problem) -> None:
    rows = [base_row()]
    header = replace(HEADER, dtype="int8")
    (line, *_) = shelf_lines(of(problem, rows, **HAND), rows, header)
    assert line == "top-1: ImageNet, published for these weights; in float32, int8 is less"


def test_a_batch_is_named(problem: Problem, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [base_row()]
    print_shelf(of(problem, rows, **HAND), rows, replace(HEADER, batch=8))
    _, heading, *_ = capsys.readouterr().out.splitlines()
    assert heading.split() == [
        "off", "the", "shelf", "FLOPs", "params", "latency", "of", "8", "speed-up", "top-1",
        "weights", "recipe",
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_against_every_network(seed: int, problem: Problem) -> None:
    """Random latencies: each row is what a search through all networks finds, the candidates hold
    the rows, and no candidate is beaten by 5 % of the time."""
    rng = np.random.default_rng(seed)
    networks = []
    for entry in shelf_networks().values():
        seconds = float(np.exp(rng.normal(np.log(10), 0.7))) * MS if rng.random() < 0.8 else None
        networks.append(PricedNetwork(entry, entry.network(), seconds))
    base = base_row()
    rows = [winner(i, float(ms)) for i, ms in enumerate(rng.uniform(4, 11, 3), 1)] + [base]
    shelf = choose_shelf(ShelfPrices(tuple(networks)), rows, problem)
    others = [p for p in networks if not p.entry.name.startswith("ShuffleNet v2 1.0x")]
    known = [(p.latency_s, p.entry.top1, p.entry.name) for p in others if p.latency_s]
    expected = set()
    for each in rows:
        within = [(t, -s, n) for s, t, n in known if t and s <= (each.latency_s or 0)]
        expected |= {max(within)[2]} if within else set()
    expected.add(min((s, -t, n) for s, t, n in known if t and t >= 69.362)[2])
    assert set(names(shelf)) == expected
    assert {each.name for each in shelf.candidates} >= expected
    for each in shelf.candidates:
        seconds, top1 = each.row.latency_s or 0, each.top1
        assert not any(s <= 0.95 * seconds and t and t >= top1 for s, t, n in known)
    fronts = nondominated(np.array([t for _, t, _ in known]), np.array([s for s, *_ in known]))
    between = sorted(known[i] for i in fronts)
    first, last = names(shelf)[0], names(shelf)[-1]
    inner = list(itertools.dropwhile(lambda k: k[2] != first, between))
    inner = inner[: [k[2] for k in inner].index(last) + 1]
    assert {k[2] for k in inner} <= {each.name for each in shelf.candidates}


def test_run_whole_decides(problem: Problem) -> None:
    """By the table MobileNetV4 is as fast as the baseline; run whole it takes 11 ms where the
    baseline takes 9.8. Rows, speed-ups and the sentence follow what was run."""
    rows = [winner(1, 6.5), base_row()]
    shelf = of(problem, rows, **HAND)
    took = {"PP-LCNet 0.75": 6.2, "PP-LCNet 1.0": 8.4, "MobileNetV4-Conv-S": 11.0,
            "RepGhost 0.8x": 9.7}  # fmt: skip
    assert {each.name for each in shelf.candidates} == {*took} - {"RepGhost 0.8x"}
    some = [replace(c.row, measured_s=took[c.name] * MS) for c in shelf.candidates]
    own = [replace(rows[0], measured_s=6.4 * MS), replace(rows[1], measured_s=9.8 * MS)]
    whole = with_whole_runs(shelf, some, own)
    assert whole.whole and names(whole) == ["PP-LCNet 0.75", "PP-LCNet 1.0"]
    assert [e.row.speed_up for e in whole.rows] == pytest.approx([9.8 / 6.2, 9.8 / 8.4])
    assert verdict(whole, own) == (
        "the shelf wins at ShuffleNet v2 1x's latency: PP-LCNet 1.0 is published at 71.3 %, "
        "ShuffleNet v2 1x at 69.4 %, and takes 0.86 of its time: take it, and train winner 1 only "
        "if you need less than its 8.4 ms"
    )
    assert with_whole_runs(shelf, [c.row for c in shelf.candidates], rows) == shelf


@pytest.mark.parametrize("target", ["arm", "gpu"])
def test_a_cost_model_prices_all(target: str) -> None:
    """Each is the sum of its ops' seconds."""
    table: Any = load_table(target)
    found = shelf_prices(table, IMAGENET)
    assert found.why == "" and len(found.networks) == len(shelf_networks())
    for each in found.networks:
        ops = [op for block in each.entry.network().blocks for op in block.ops]
        assert each.latency_s == pytest.approx(sum(float(table.op_s(op)) for op in ops))


def test_a_table_of_known_sums(problem: Problem) -> None:
    """Every block of PP-LCNet 1.0 takes 1 ms, and no others are known: its latency is as many ms
    as it has blocks, and all networks of other blocks have none."""
    network = published_network("PP-LCNet 1.0").network()
    table = LatencyTable(HEADER, {b: Measurement(MS, MS, MS, 8) for b in network.blocks})
    found = shelf_prices(table, IMAGENET)
    known = {p.entry.name: p.latency_s for p in found.networks if p.latency_s is not None}
    assert known == {"PP-LCNet 1.0": pytest.approx(len(network.blocks) * MS)}
    assert found.why.startswith("the table lacks blocks of kind bottleneck, classifier, ")
    assert found.why.endswith("; a full latency.build has those of networks up to 700M")


@pytest.mark.parametrize(
    "shape",
    [NetworkShape(160, 160), NetworkShape(channels=1), NetworkShape(classes=10)],
)
def test_on_other_images_none_is_compared(shape: NetworkShape, problem: Problem) -> None:
    found = shelf_prices(load_table("arm"), shape)
    assert found.networks == ()
    rows = [base_row()]
    shelf = choose_shelf(found, rows, problem)
    assert shelf_lines(shelf, rows, HEADER) == [
        "off the shelf: not compared; published top-1 is of 224x224, 3 channels, 1000 classes, "
        f"the networks here are of {shape}"
    ]
    assert shelf.record(HEADER, "")["left_out_why"].endswith(str(shape))


@pytest.mark.parametrize("size, name", [("41M", "0.5x"), ("146M", "1x"), ("591M", "2x")])
def test_the_baseline_is_torchvisions(size: str, name: str) -> None:
    """Its blocks are those of the zoo's ShuffleNet v2, not of the authors' released unit."""
    problem = Problem(IMAGENET.space, load_table("arm"), parse_budgets([size]))
    base = baseline(problem)
    assert base is not None and base.name == f"ShuffleNet v2 {name}"
    network = problem.network(base.found.genes[0])
    (entry,) = [e for e in shelf_networks().values() if e.network().blocks == network.blocks]
    assert entry.name == {"1x": "ShuffleNet v2 1.0x", "2x": "ShuffleNet v2 2.0x"}.get(
        name, "ShuffleNet v2 0.5x"
    )
    flops = {"0.5x": 40.5e6, "1x": 144.9e6, "2x": 583.3e6}[name]  # the paper: 41M, 146M, 591M
    assert network.flops == pytest.approx(flops, abs=1e5)


def test_every_family_is_named() -> None:
    """By hand: a few; and no network is its own family."""
    assert family_name("ShuffleNet v2 1.0x released") == "ShuffleNet v2"
    assert family_name("MobileNetV3 large 1.0") == "MobileNetV3"
    assert family_name("EfficientNet-B0") == family_name("EfficientNet-Lite0") == "EfficientNet"
    assert family_name("IGCV v3") == "IGCV"
    assert not {family_name(name) for name in shelf_networks()} & set(shelf_networks())
