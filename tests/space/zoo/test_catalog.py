"""The zoo's rows: golden numbers, what was published, the command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from latency.paper_model.paper_speeds import PAPER_SPEEDS as PRINTED
from latency.table.load import load_table
from latency.table.op_model import OpCostModel
from space.graph.op import VIEWS
from space.zoo import catalog as zoo
from space.zoo import entry as zoo_entry
from space.zoo import report
from space.zoo.catalog import PAPER_NETWORKS
from space.zoo.entry import PublishedNetwork, register
from space.zoo.families import shufflenet_v2
from space.zoo.networks import resnet_50
from space.zoo.released import released_names

# FLOPs (multiply-adds) and parameters. tests/space/zoo/test_torch.py has torch count them too, and
# test_peers.py counts timm's and torchvision's.
GOLDEN = {
    "ShuffleNet v2 0.5x": (40_476_448, 1_366_792),
    "ShuffleNet v2 1.0x": (144_907_992, 2_278_604),
    "ShuffleNet v2 1.5x": (295_759_392, 3_503_624),
    "ShuffleNet v2 2.0x": (583_253_464, 7_393_996),
    "ShuffleNet v2 2.0x with SE": (589_207_064, 13_360_772),
    "ShuffleNet v2* 0.5x": (42_889_600, 1_376_296),
    "ShuffleNet v2* 1.0x": (149_780_160, 2_301_198),
    "ShuffleNet v2* 1.5x": (302_801_280, 3_537_768),
    "ShuffleNet v2* 2.0x": (592_754_368, 7_441_230),
    "ShuffleNet v2-50": (2_304_152_672, 16_573_534),
    "SE-ShuffleNet v2-164": (12_568_127_992, 102_506_606),
    "ShuffleNet v1 0.5x g=3": (37_589_856, 718_324),
    "ShuffleNet v1 1.0x g=3": (137_460_672, 1_865_728),
    "ShuffleNet v1 1.5x g=3": (292_443_552, 3_442_168),
    "ShuffleNet v1 2.0x g=3": (524_045_184, 5_450_776),
    "ShuffleNet v1-50 g=3": (2_271_115_872, 14_487_868),
    "MobileNet v1 0.25": (41_030_272, 470_072),
    "MobileNet v1 0.5": (149_497_088, 1_331_592),
    "MobileNet v1 0.75": (325_400_448, 2_585_560),
    "MobileNet v1 1.0": (568_740_352, 4_231_976),
    "MobileNet v2 0.4 160x160": (41_798_000, 1_770_728),
    "MobileNet v2 0.15": (30_567_888, 1_415_496),
    "MobileNet v2 0.75 192x192": (153_941_888, 2_636_424),
    "MobileNet v2 0.6": (150_958_928, 2_217_000),
    "MobileNet v2 1.0": (300_774_272, 3_504_872),
    "MobileNet v2 1.4": (582_195_824, 6_108_776),
    "Xception 0.5x": (39_441_424, 493_016),
    "Xception 1.0x": (143_078_976, 1_531_936),
    "Xception 1.5x": (308_096_352, 2_993_032),
    "Xception 2.0x": (523_655_536, 4_798_976),
    "DenseNet 0.5x": (42_058_952, 1_374_050),
    "DenseNet 1.0x": (142_281_984, 2_246_382),
    "DenseNet 1.5x": (295_134_152, 3_536_962),
    "DenseNet 2.0x": (517_722_824, 6_801_090),
    "ResNet-50": (3_857_973_248, 25_557_032),
    "ResNet-50 v1.5": (4_089_184_256, 25_557_032),
    "SENet-154": (20_688_363_520, 115_088_984),
    "GoogLeNet inception 3a": (128_049_152, 164_064),
    "GoogLeNet inception 3a (torchvision)": (121_626_624, 155_872),
    "RepVGG-A0": (1_512_581_120, 9_108_968),
    "RepVGG-A0 deployed": (1_361_451_008, 8_309_384),
    "ShuffleNet v2 1.0x released": (145_814_296, 2_279_760),
    "ShuffleNet v2 1.5x released": (298_970_656, 3_507_720),
    "ShuffleNet v2 2.0x released": (590_783_000, 7_403_600),
    "MobileNetV3 small 0.75": (43_399_344, 2_041_872),
    "MobileNetV3 small 1.0": (56_510_400, 2_542_856),
    "MobileNetV3 large 0.75": (154_560_624, 3_993_528),
    "MobileNetV3 large 1.0": (216_589_760, 5_483_032),
    "MobileNetV4-Conv-S": (186_005_568, 3_774_024),
    "PP-LCNet 0.35": (27_357_832, 1_644_370),
    "PP-LCNet 0.5": (44_731_008, 1_880_856),
    "PP-LCNet 0.75": (94_786_496, 2_358_288),
    "PP-LCNet 1.0": (155_700_480, 2_953_800),
    "RepGhost 0.5x": (43_314_720, 2_306_528),
    "RepGhost 0.58x": (59_804_016, 2_537_736),
    "RepGhost 0.8x": (95_518_948, 3_267_112),
    "RepGhost 1.0x": (142_394_128, 4_058_772),
    "RepGhost 1.11x": (170_124_224, 4_523_568),
    "RepGhost 1.3x": (231_123_652, 5_459_316),
    "RepGhost 1.5x": (301_315_856, 6_553_064),
    "RepGhost 2.0x": (515_869_856, 9_766_460),
    "GhostNet 1.0x": (141_150_512, 5_182_508),
    "MobileOne-S0": (275_110_400, 2_078_504),
    "MnasNet 0.5": (104_455_968, 2_218_512),
    "MnasNet 1.0": (314_415_872, 4_383_312),
    "EfficientNet-Lite0": (385_187_552, 4_652_008),
    "EfficientNet-B0": (385_814_752, 5_288_548),
    "RegNetX-200MF": (199_039_872, 2_684_792),
    "RegNetX-400MF": (397_677_568, 5_157_512),
    "RegNetY-200MF": (199_514_080, 3_162_996),
    "RegNetY-400MF": (401_842_848, 4_344_144),
    "FBNet-C": (384_960_160, 5_572_200),
    "SqueezeNet 1.1": (349_151_936, 1_235_496),
    "ResNet-18": (1_814_073_344, 11_689_512),
}


def test_golden_numbers() -> None:
    found = {name: entry.network() for name, entry in zoo.known_networks().items()}
    counted = {name: (network.flops, network.params) for name, network in found.items()}
    assert counted == GOLDEN


def test_the_zoo_has_table_8_with_the_same_networks() -> None:
    for name, make in PAPER_NETWORKS.items():
        network = zoo.published_network(name).network()
        assert network.blocks == make().blocks, name


def test_published_numbers_are_the_papers() -> None:
    """Against the other list of Table 8 in the project."""
    for name, (mflops, *_) in PRINTED.items():
        assert zoo.published_network(name).published_flops == mflops * 1e6, name


def paper_name(row: dict[str, str]) -> str:
    """Our name of a row of Table 8, or "" for the networks that the zoo has not."""
    words = row["model"].replace("\N{MULTIPLICATION SIGN}", "x").split()
    if words[1].startswith("MobileNet"):
        size = words[0] if "." in words[0] else f"{words[0]}.0"
        side = "" if row["input_res"] == "224" else f" {row['input_res']}x{row['input_res']}"
        return f"MobileNet {words[2]} {size}{side}"
    if words[0] in ("DenseNet", "Xception"):
        return f"{words[0]} {float(words[1].rstrip('x'))}x"
    if row["model"].startswith(("ShuffleNet", '"ShuffleNet')):
        size = float(words[2].rstrip("x"))
        tail = " g=3" if words[1] == "v1" else " with SE" if "SE" in row["model"] else ""
        return f"ShuffleNet {words[1]} {size}x{tail}"
    return ""


def test_published_numbers_are_those_of_the_papers_table(
    paper: Callable[[str], list[dict[str, str]]],
) -> None:
    rows = {paper_name(row): row for row in paper("table8.csv")}  # "our impl." stands last
    rows.pop("")
    assert len(rows) == 27
    for name, row in rows.items():
        entry = zoo.published_network(name)
        assert entry.published_flops == float(row["mflops"]) * 1e6, name
        assert entry.published_top1_error == float(row["top1_err_pct"]), name
        assert (entry.height, entry.width) == (int(row["input_res"]),) * 2, name


def test_large_networks_are_those_of_the_papers_table(
    paper: Callable[[str], list[dict[str, str]]],
) -> None:
    names = ("ShuffleNet v2-50", "ShuffleNet v1-50 g=3", "ResNet-50", "SE-ShuffleNet v2-164")
    for name, row in zip((*names, "SENet-154"), paper("table6.csv"), strict=True):
        entry = zoo.published_network(name)
        assert entry.published_flops == round(float(row["flops"].rstrip("G")) * 1e9), name
        assert entry.published_top1_error == float(row["top1_err_pct"]), name


# Rows whose count is not within 1 % of the printed one, and how far it may be. Every note says
# why; the printed figures have two or three digits, and v2's are a little above a plain count.
FAR = {
    "ShuffleNet v2 0.5x": 0.013,
    "ShuffleNet v2 1.5x": 0.011,
    "ShuffleNet v2 2.0x": 0.0132,
    "ShuffleNet v2 2.0x with SE": 0.0132,
    "SE-ShuffleNet v2-164": 0.0105,
    "ShuffleNet v1 0.5x g=3": 0.011,
    "ShuffleNet v1 1.0x g=3": 0.0182,
    "ShuffleNet v1-50 g=3": 0.0126,
    "MobileNet v2 0.4 160x160": 0.029,
    "MobileNet v2 0.15": 0.22,
    "MobileNet v2 0.75 192x192": 0.062,
    "MobileNet v2 0.6": 0.071,
    "Xception 0.5x": 0.0141,
    "Xception 1.0x": 0.0133,
    "Xception 1.5x": 0.0102,
    "ResNet-50": 0.016,
    "RepVGG-A0 deployed": 0.028,
}


def test_counts_are_near_what_was_published() -> None:
    for row in report.network_rows():
        name, difference = row["name"], row["difference"]
        if difference is None:
            known = row["note"] or row["weights"] or row["source"].startswith("torchvision")
            assert known, name
            continue
        assert difference == pytest.approx(row["flops"] / row["published_flops"] - 1), name
        limit = FAR.get(name, 0.01)
        assert abs(difference) <= limit, name
        if name in FAR:
            assert abs(difference) > 0.01, f"{name} need not be listed"
            assert row["note"], f"{name} does not say why"


def test_se_adds_the_share_that_the_paper_prints() -> None:
    plain, scaled = (
        zoo.published_network(f"ShuffleNet v2 2.0x{tail}") for tail in ("", " with SE")
    )
    printed = (scaled.published_flops or 0) / (plain.published_flops or 1)
    assert scaled.network().flops / plain.network().flops == pytest.approx(printed, abs=1e-3)


def test_names_of_the_issue_are_there() -> None:
    sizes = ("0.5x", "1.0x", "1.5x", "2.0x")
    wanted = [f"{kind} {size}" for kind in ("ShuffleNet v2", "ShuffleNet v2*") for size in sizes]
    wanted += [f"ShuffleNet v1 {size} g=3" for size in sizes]
    wanted += [f"{kind} {size}" for kind in ("Xception", "DenseNet") for size in sizes]
    wanted += [f"MobileNet v1 {size}" for size in ("0.25", "0.5", "0.75", "1.0")]
    tails = ("0.15", "0.4 160x160", "0.6", "0.75 192x192", "1.0", "1.4")
    wanted += [f"MobileNet v2 {size}" for size in tails]
    wanted += ["ShuffleNet v2 2.0x with SE", "ShuffleNet v2-50", "SE-ShuffleNet v2-164"]
    wanted += ["ShuffleNet v1-50 g=3", "ResNet-50", "SENet-154", "GoogLeNet inception 3a"]
    wanted += ["RepVGG-A0", "RepVGG-A0 deployed"]
    assert set(wanted) <= set(zoo.published_networks())


def test_the_shelf_is_what_has_released_weights() -> None:
    shelf, paper = zoo.shelf_networks(), zoo.published_networks()
    assert {*shelf, *paper} == set(zoo.known_networks())
    assert {name for name in shelf if name not in paper} == {
        name for name, known in zoo.known_networks().items() if not known.of_paper
    }
    assert {"ShuffleNet v2 1.0x", "MobileNet v2 1.0", "ResNet-50 v1.5"} <= {*shelf} & {*paper}
    assert "Xception 1.0x" not in shelf  # the paper's own implementation, not released
    for known in shelf.values():
        assert known.top1 == known.weights[0].top1 > 45
        assert known.network().input_shape[0] == 3
        assert known.network().blocks[-1].out_shape == (1000, 1, 1)
        assert all(each.weights and each.recipe for each in known.weights)
    assert paper["Xception 1.0x"].top1 == pytest.approx(65.9)
    assert paper["RepVGG-A0"].top1 is None


def test_every_released_name_is_a_network() -> None:
    assert set(released_names()) == set(zoo.shelf_networks())


def test_networks_of_the_paper_are_those_from_before_the_shelf() -> None:
    """Grids of tables and comparisons go over them in this order."""
    names = list(zoo.published_networks())
    assert names[0] == "ShuffleNet v2 0.5x" and names[-1] == "RepVGG-A0 deployed"
    assert len(names) == 41 and names == list(GOLDEN)[:41]


def test_an_unknown_name_lists_the_known_ones() -> None:
    message = r"unknown network 'AlexNet': known ones are Shuf.*154.*ResNet-18"
    with pytest.raises(ValueError, match=message):
        zoo.published_network("AlexNet")


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="network 'ResNet-50' is registered already"):
        register("ResNet-50", resnet_50, (1, None, None), "test")


def test_register(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "REGISTERED", {})
    monkeypatch.setattr(zoo_entry, "REGISTERED", zoo.REGISTERED)
    make = partial(shufflenet_v2, "0.5")
    register("a test", make, (41, 1.4, 39.7), "here", size=(96, 64))
    entry = zoo.published_network("a test")
    assert entry.network().input_shape == (3, 96, 64)
    assert entry.network(32, 32).input_shape == (3, 32, 32)
    assert (entry.published_flops, entry.published_params) == (41_000_000, 1_400_000)
    assert entry.published_top1_error == 39.7


def test_inputs_that_a_pool_without_padding_leaves_nothing_of() -> None:
    entry = zoo.published_network("SqueezeNet 1.1")
    assert entry.network(17, 20).blocks[-1].out_shape == (1000, 1, 1)
    with pytest.raises(ValueError, match="maxpool of kernel 3 without padding leaves nothing of"):
        entry.network(16, 16)


def test_other_inputs() -> None:
    entry = zoo.published_network("MobileNet v2 0.4 160x160")
    assert entry.network().input_shape == (3, 160, 160)
    assert entry.network(800, 1200).input_shape == (3, 800, 1200)
    assert zoo.published_network("GoogLeNet inception 3a").network(9, 7).input_shape == (192, 9, 7)


@pytest.mark.parametrize("name", ["ShuffleNet v2 1.0x", "SENet-154", "DenseNet 2.0x"])
def test_inputs_that_are_too_small_name_the_smallest(name: str) -> None:
    entry = zoo.published_network(name)
    assert entry.network(32, 33).input_shape == (3, 32, 33)
    with pytest.raises(ValueError, match=f"{name} divides .* 32: the smallest is 32x32; got 31x"):
        entry.network(31, 64)
    with pytest.raises(ValueError, match="the smallest is 32x32; got 224x-1"):
        entry.network(width=-1)
    with pytest.raises(ValueError, match="the smallest is 32x32; got 0x224"):
        entry.network(height=0)


@pytest.mark.parametrize("target", ["arm", "gpu"])
def test_every_network_has_a_published_latency(target: str) -> None:
    """No op is missing in the model, none is free, and scale orders the large ones."""
    model = load_table(target)
    assert isinstance(model, OpCostModel)
    seconds = {}
    for name, entry in zoo.known_networks().items():
        blocks = entry.network().blocks
        seconds[name] = model.network_s(blocks)
        for op in (op for block in blocks for op in block.ops if op.kind not in VIEWS):
            assert float(model.op_s(op)) > 0, f"{op} of {name}"
    assert seconds["SENet-154"] > seconds["SE-ShuffleNet v2-164"] > seconds["ResNet-50"]
    assert seconds["RepVGG-A0"] > seconds["RepVGG-A0 deployed"]
    assert seconds["ShuffleNet v2 2.0x with SE"] > seconds["ShuffleNet v2 2.0x"]
    for size in ("0.5", "1.0", "1.5", "2.0"):
        assert seconds[f"ShuffleNet v2* {size}x"] > seconds[f"ShuffleNet v2 {size}x"]


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "space.zoo", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_json(root: Path) -> None:
    done = run(root, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert {row["name"]: (row["flops"], row["params"]) for row in found} == GOLDEN
    wanted = "name flops params published_flops published_params difference source note input"
    for row in found:
        assert {*wanted.split(), "g1", "g2", "g3", "g4"} <= set(row)
        assert row["source"]
        assert row["g1"] >= 1
        assert 0 < row["g4"] < 1


def test_table_and_the_documentation(root: Path) -> None:
    done = run(root)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["network", "input", "MFLOPs"]
    assert next(line for line in lines if line.startswith("ShuffleNet v2 1.0x")).split()[3:6] == [
        "224x224",
        "144.9",
        "146",
    ]
    text = (root / "docs" / "reference" / "zoo.md").read_text(encoding="utf-8")
    assert done.stdout.strip() in text, "docs/reference/zoo.md must show what the command prints"


def test_entries_are_frozen_and_complete() -> None:
    for entry in zoo.known_networks().values():
        assert isinstance(entry, PublishedNetwork)
        assert entry.source
        with pytest.raises(AttributeError, match="cannot assign to field 'note'"):
            entry.note = ""  # type: ignore[misc]
