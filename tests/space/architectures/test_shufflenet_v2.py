from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from space.architectures.search_space import Architecture
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.zoo.families import SHUFFLENET_V2, shufflenet_v2
from tests.helpers.hostile import examples

Samples = Callable[[int, int], list[Architecture]]
ONE = (
    "shufflenet_v2 stem=24 width=116,232,464 depth=4,8,4 split=1/2,1/2,1/2 kernel=3,3,3 head=1024"
)


def test_axes(space: ShuffleNetV2Space) -> None:
    """What the search may choose."""
    choices = {parameter.name: parameter.choices for parameter in space.parameters}
    for stage in (2, 3, 4):
        widths = choices[f"width{stage}"]
        assert all(width % 4 == 0 and 24 <= width <= 1024 for width in widths)
        assert np.diff(np.array(widths, dtype=int)).tolist() == [4] * (len(widths) - 1)
        assert choices[f"depth{stage}"] == tuple(range(2, 13))
        assert [str(c) for c in choices[f"split{stage}"]] == ["1/4", "3/8", "1/2", "5/8", "3/4"]
        assert choices[f"kernel{stage}"] == (3, 5, 7)
    assert choices["groups"] == (1, 2, 4, 8)
    closed = {
        parameter.name: parameter.breaks for parameter in space.parameters if parameter.breaks
    }
    assert closed == {
        "bottleneck": "g1",
        "groups": "g2",
        "fragments": "g3",
        "residual": "g4",
        "extra_relu": "g4",
    }
    for parameter in space.parameters:
        assert parameter.active_choices == (1 if parameter.breaks else len(parameter.choices))


@pytest.mark.parametrize("size", SHUFFLENET_V2)
def test_the_papers_networks_are_points(space: ShuffleNetV2Space, size: str) -> None:
    widths, head = SHUFFLENET_V2[size]
    arch = space.point(widths, head=head)
    assert space.lower(arch).blocks == shufflenet_v2(size).blocks
    genes = np.array([arch.genes])
    assert (genes < space.active_sizes).all()


def test_text(space: ShuffleNetV2Space) -> None:
    arch = space.point((116, 232, 464))
    assert space.text(arch) == ONE
    assert space.parse(ONE) == arch
    opened = space.parse(f"{ONE} bottleneck=1/4 groups=2 fragments=4-serial residual=1")
    assert opened.genes[space.variant_columns] == (1, 1, 4, 1, 0)
    assert space.text(opened) == f"{ONE} bottleneck=1/4 groups=2 fragments=4-serial residual=1"
    shuffled = " ".join(["shufflenet_v2", *reversed(ONE.split()[1:]), "groups=1"])
    assert space.parse(shuffled) == arch


def test_text_round_trip(space: ShuffleNetV2Space, samples: Samples) -> None:
    archs = samples(250, 0)
    assert sum(any(arch.genes[space.variant_columns]) for arch in archs) > 200
    for arch in archs:
        text = space.text(arch)
        assert "\n" not in text
        assert space.parse(text) == arch
        assert space.text(space.parse(text)) == text


def test_every_choice_round_trips(space: ShuffleNetV2Space) -> None:
    base = space.point((116, 232, 464)).genes
    for column, parameter in enumerate(space.parameters):
        for gene in range(len(parameter.choices)):
            genes = (*base[:column], gene, *base[column + 1 :])
            arch = space.architecture(genes)
            assert space.parse(space.text(arch)) == arch


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an architecture must begin with 'shufflenet_v2'; got ''"),
        (ONE.replace("shufflenet_v2", "resnet"), "must begin with 'shufflenet_v2'; got 'resnet"),
        (ONE.replace(" stem=24", ""), "`stem` is missing"),
        (ONE.replace(" depth=4,8,4", ""), "`depth2` is missing"),
        (ONE.replace(" head=1024", " head"), "must be `name=value` .*; got 'head'"),
        (ONE.replace("4,8,4", "4,8"), "must be .*`name=v2,v3,v4`, once; got 'depth=4,8'"),
        (ONE.replace("stem=24", "stem=24,24"), "got 'stem=24,24'"),
        (ONE + " stem=24", "once; got 'stem=24'"),
        (ONE + " split=1/2,1/2,1/2", "once; got 'split=1/2,1/2,1/2'"),
        (ONE + " colour=3", "unknown name colour"),
        (ONE.replace("116", "117"), r"`width2` must be one of 24, 28, 32, \.\.\., 256; got '117'"),
        (ONE.replace("4,8,4", "4,13,4"), "`depth3` must be one of 2, .*12; got '13'"),
        (ONE.replace("1/2,1/2,1/2", "1/2,1/2,0.5"), "`split4` must be one of 1/4, .*; got '0.5'"),
        (ONE.replace("3,3,3", "4,3,3"), "`kernel2` must be one of 3, 5, 7; got '4'"),
        (ONE + " groups=3", "`groups` must be one of 1, 2, 4, 8; got '3'"),
        (ONE + " fragments=3", "`fragments` must be one of 1, 2-parallel, .*; got '3'"),
        (ONE + " bottleneck=", "`bottleneck` must be one of 1, 1/4, 1/2, 2, 4; got ''"),
    ],
)
def test_malformed_text(space: ShuffleNetV2Space, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        space.parse(text)


def test_lower_refuses(space: ShuffleNetV2Space) -> None:
    arch = space.point((116, 232, 464))
    with pytest.raises(ValueError, match="must be of space shufflenet_v2; got toy"):
        space.lower(Architecture("toy", arch.genes))
    with pytest.raises(ValueError, match=r"gene of `stem` must be in 0\.\.14; got 99 in row 0"):
        space.lower(Architecture(arch.space, (99, *arch.genes[1:])))
    with pytest.raises(ValueError, match=r"`stem` must be in 0\.\.14; got 65536 in row 0"):
        space.lower(Architecture(arch.space, (65536, *arch.genes[1:])))
    with pytest.raises(ValueError, match=r"genes must be \[n, 19\]; got shape \(1, 3\)"):
        space.lower(Architecture(arch.space, (0, 0, 0)))


def test_lowered_blocks_are_what_the_text_says(space: ShuffleNetV2Space) -> None:
    arch = space.parse(
        "shufflenet_v2 stem=16 width=40,100,200 depth=2,3,2 split=1/4,3/8,3/4 kernel=3,5,7 "
        "head=512 bottleneck=1/2 groups=4 fragments=2-serial residual=1 extra_relu=1"
    )
    network = space.lower(arch)
    assert network.name == space.text(arch)
    assert [str(block) for block in network.blocks] == [
        "stem@224x224 c_out=16",
        "shufflenet_v2@56x56 c_in=16 c_out=40 branch=20 stride=2 "
        "groups=4 mid=10 fragments=2 serial=1 extra_relu=1",
        "shufflenet_v2@28x28 c_in=40 c_out=40 branch=10 "
        "groups=4 mid=4 fragments=2 serial=1 residual=1 extra_relu=1",
        "shufflenet_v2@28x28 c_in=40 c_out=100 branch=50 kernel=5 stride=2 groups=4 mid=24 "
        "fragments=2 serial=1 extra_relu=1",
        *[
            "shufflenet_v2@14x14 c_in=100 c_out=100 branch=38 kernel=5 groups=4 mid=18 "
            "fragments=2 serial=1 residual=1 extra_relu=1"
        ]
        * 2,
        "shufflenet_v2@14x14 c_in=100 c_out=200 branch=100 kernel=7 stride=2 groups=4 mid=50 "
        "fragments=2 serial=1 extra_relu=1",
        "shufflenet_v2@7x7 c_in=200 c_out=200 branch=150 kernel=7 groups=4 mid=74 "
        "fragments=2 serial=1 residual=1 extra_relu=1",
        "head@7x7 c_in=200 c_out=512",
    ]


def test_branches_are_the_nearest_even_share(space: ShuffleNetV2Space, samples: Samples) -> None:
    for arch in samples(40, 1):
        network = space.lower(arch)
        units = [block for block in network.blocks if block.kind == "shufflenet_v2"]
        stage = 1
        for block in units:
            stage += block["stride"] == 2
            share = Fraction(1, 2) if block["stride"] == 2 else space.value(arch, f"split{stage}")
            exact = Fraction(share) * block["c_out"]
            assert block["branch"] % 2 == 0
            assert abs(block["branch"] - exact) <= 1
        depths = [space.value(arch, f"depth{number}") for number in (2, 3, 4)]
        assert len(units) == sum(int(depth) for depth in depths)


def segment_blocks(space: ShuffleNetV2Space, arch: Architecture) -> Counter[str]:
    """The blocks of an architecture as looked up in `segments`, by a formula of its own."""
    found: Counter[str] = Counter()
    for segment in space.segments(arch.genes[space.variant_columns]):
        index = 0
        for column in segment.columns:
            index = index * len(space.parameters[column].choices) + arch.genes[column]
        times = 1
        if segment.depth is not None:
            times = int(space.parameters[segment.depth].choices[arch.genes[segment.depth]]) - 1
        found[str(segment.batch.block(index))] += times
    return found


def test_segments_hold_the_blocks_of_every_network(
    space: ShuffleNetV2Space, samples: Samples
) -> None:
    for arch in samples(8, 2):
        blocks = Counter(str(block) for block in space.lower(arch).blocks)
        assert segment_blocks(space, arch) == blocks


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_segments_of_another_input_and_classes(channels: int) -> None:
    space = ShuffleNetV2Space(height=225, width=161, classes=10, channels=channels)
    arch = space.architecture(space.sample(1, np.random.default_rng(0))[0])
    network = space.lower(arch)
    assert network.input_shape == (channels, 225, 161)
    assert network.blocks[-1].out_shape == (10, 1, 1)
    assert segment_blocks(space, arch) == Counter(str(block) for block in network.blocks)


def test_segments_cover_every_combination_of_their_parameters(space: ShuffleNetV2Space) -> None:
    for segment in space.segments():
        sizes = [len(space.parameters[column].choices) for column in segment.columns]
        assert len(segment.batch) == np.prod(sizes)


def test_relaxed(space: ShuffleNetV2Space) -> None:
    opened = space.relaxed(["g2"])
    assert opened.size == 4 * space.size
    assert opened.variants() == [(0, gene, 0, 0, 0) for gene in range(4)]
    assert space.variants() == [(0, 0, 0, 0, 0)]
    every = space.relaxed(["g1", "g2", "g3", "g4"])
    assert len(set(every.variants())) == 5 * 4 * 5 * 2 * 2
    assert (every.height, every.name) == (space.height, space.name)
    with pytest.raises(ValueError, match="must be one of g1, g2, g3, g4; got g5"):
        space.relaxed(["g5"])


def test_variant_columns(space: ShuffleNetV2Space) -> None:
    arch = space.parse(f"{ONE} groups=8 extra_relu=1")
    assert arch.genes[space.variant_columns] == (0, 3, 0, 0, 1)


def test_size_by_hand(space: ShuffleNetV2Space) -> None:
    assert space.size == 15 * 15 * (59 * 117 * 233) * 11**3 * 5**3 * 3**3


def test_closed_samples_break_no_guideline_by_choice(space: ShuffleNetV2Space) -> None:
    genes = space.sample(1000, np.random.default_rng(0))
    assert not genes[:, space.variant_columns].any()
    space.check(genes)


def test_spaces_compare_by_value(space: ShuffleNetV2Space) -> None:
    assert ShuffleNetV2Space() == space
    assert hash(ShuffleNetV2Space()) == hash(space)
    assert ShuffleNetV2Space(height=192) != space
    with pytest.raises(dataclasses.FrozenInstanceError, match="height"):
        space.height = 3  # type: ignore[misc]


def test_point_refuses_what_the_space_does_not_hold(space: ShuffleNetV2Space) -> None:
    with pytest.raises(ValueError, match=r"`width2` must be one of 24, .*; got '118'"):
        space.point((118, 232, 464))
    with pytest.raises(ValueError, match="got 'width=116,232'"):
        space.point((116, 232))


@pytest.mark.parametrize("name", ["height", "width", "channels", "classes"])
def test_nothing_is_below_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1; got 0"):
        ShuffleNetV2Space(**{name: 0})


def test_a_gene_too_large_for_an_array(space: ShuffleNetV2Space) -> None:
    with pytest.raises(ValueError, match="genes must be small integers"):
        space.architecture([10**400] * len(space.parameters))


WORD = st.one_of(
    st.sampled_from([*ONE.split(), "groups=2", "groups=9", "fragments=2-serial", "colour=1", "="]),
    st.text(max_size=12),
    st.builds("{}={}".format, st.sampled_from(["stem", "width", "split", "head"]), st.one_of(
        st.integers(-9, 10**40), st.text(max_size=8), st.just("9" * 5000),
        st.sampled_from(["116,232,464", "1/0,1/2,1/2", "1,1,1,1", "nan", "1e3", "\u0661", "24 "]),
    )),
)  # fmt: skip


@examples(300)
@given(st.lists(WORD, max_size=12), st.booleans())
def test_property_lines(space: ShuffleNetV2Space, words: list[str], whole: bool) -> None:
    """Refused in one short line, or a point of the space whose line parses to it."""
    text = " ".join([ONE, *words] if whole else [space.name, *words])
    try:
        arch = space.parse(text)
    except ValueError as error:
        assert len(str(error)) < 400
        assert str(error).isprintable()
    else:
        assert space.parse(space.text(arch)) == arch
        assert space.lower(arch).name == space.text(arch)


@examples(100)
@given(st.data())
def test_property_round_trip(relaxed_space: ShuffleNetV2Space, data: st.DataObject) -> None:
    genes = [data.draw(st.integers(0, len(p.choices) - 1)) for p in relaxed_space.parameters]
    arch = relaxed_space.architecture(genes)
    assert relaxed_space.parse(relaxed_space.text(arch)) == arch
