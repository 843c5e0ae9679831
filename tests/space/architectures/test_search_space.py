from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from space.architectures.search_space import Architecture, Parameter, SearchSpace

TOY = SearchSpace(
    "toy",
    (
        Parameter("width", (8, 16, 32), 3),
        Parameter("split", (Fraction(1, 4), Fraction(1, 2)), 2),
        Parameter("groups", (1, 2, 4, 8), 1, "g2"),
        Parameter("add", (0, 1), 1, "g4"),
        Parameter("relu", (0, 1), 1, "g4"),
    ),
)


def opened(*guidelines: str) -> SearchSpace:
    return TOY.relaxed(guidelines)


def test_size_is_the_number_of_combinations() -> None:
    assert TOY.size == 3 * 2
    assert opened("g2").size == 3 * 2 * 4
    assert opened("g2", "g4").size == 3 * 2 * 4 * 2 * 2
    assert SearchSpace(
        "many", tuple(Parameter(f"s{i}", tuple(range(100)), 100) for i in range(30))
    ).size == (100**30)


def test_relaxed() -> None:
    assert [parameter.active_choices for parameter in opened("g4").parameters] == [3, 2, 1, 2, 2]
    assert [parameter.active_choices for parameter in opened().parameters] == [3, 2, 1, 1, 1]
    assert [parameter.active_choices for parameter in TOY.parameters] == [3, 2, 1, 1, 1]
    with pytest.raises(ValueError, match="must be one of g2, g4; got g1, g9"):
        TOY.relaxed(["g9", "g2", "g1"])


def test_sample_is_uniform_over_open_choices() -> None:
    n = 12_000
    genes = opened("g2").sample(n, np.random.default_rng(0))
    assert genes.shape == (n, 5)
    assert genes.dtype == np.int16
    for column, size in enumerate([3, 2, 4, 1, 1]):
        counts = np.bincount(genes[:, column], minlength=size)
        assert len(counts) == size
        assert np.abs(counts - n / size).max() < 5 * np.sqrt(n / size)


def test_same_seed_gives_the_same_bytes() -> None:
    def draw(seed: int) -> bytes:
        return opened("g2", "g4").sample(100, np.random.default_rng(seed)).tobytes()

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


def test_check_takes_closed_choices() -> None:
    TOY.check(np.array([[0, 0, 0, 0, 0], [2, 1, 3, 1, 1]], dtype=np.int16))
    TOY.check(np.empty((0, 5), dtype=np.int16))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[0, 0, 0, 0, 0], [0, 2, 0, 0, 0]], r"gene of `split` must be in 0\.\.1; got 2 in row 1"),
        ([[0, 0, -1, 0, 0]], r"gene of `groups` must be in 0\.\.3; got -1 in row 0"),
        ([[0, 0, 0, 0]], r"genes must be \[n, 5\]; got shape \(1, 4\)"),
        ([0, 0, 0, 0, 0], r"genes must be \[n, 5\]; got shape \(5,\)"),
    ],
)
def test_check_refuses(rows: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TOY.check(np.array(rows, dtype=np.int16))


def test_architecture() -> None:
    arch = TOY.architecture(np.array([2, 1, 3, 0, 1], dtype=np.int16))
    assert arch == Architecture("toy", (2, 1, 3, 0, 1))
    assert hash(arch) == hash(Architecture("toy", (2, 1, 3, 0, 1)))
    assert all(type(gene) is int for gene in arch.genes)
    assert [TOY.value(arch, parameter.name) for parameter in TOY.parameters] == [
        32,
        Fraction(1, 2),
        8,
        0,
        1,
    ]
    with pytest.raises(ValueError, match=r"gene of `width` must be in 0\.\.2; got 3 in row 0"):
        TOY.architecture([3, 0, 0, 0, 0])
    with pytest.raises(ValueError, match=r"gene of `width` must be in 0\.\.2; got 65536 in row 0"):
        TOY.architecture([65536, 0, 0, 0, 0])  # 0 in int16
    with pytest.raises(ValueError, match=r"genes must be \[n, 5\]; got shape \(1, 2\)"):
        TOY.architecture([0, 0])


def test_position_and_value_name_the_known_parameters() -> None:
    assert TOY.position("groups") == 2
    with pytest.raises(
        ValueError, match=r"parameter must be one of width, split, .*relu; got 'depth'"
    ):
        TOY.position("depth")
    with pytest.raises(ValueError, match=r"parameter must be one of .*; got 'depth'"):
        TOY.value(TOY.architecture([0] * 5), "depth")


def test_index_lists_what_there_is() -> None:
    split = TOY.parameters[1]
    assert [split.index("1/4"), split.index("1/2")] == [0, 1]
    with pytest.raises(ValueError, match=r"`split` must be one of 1/4, 1/2; got '0.5'"):
        split.index("0.5")
    many = Parameter("width", tuple(range(24, 257, 4)), 59)
    assert many.index("256") == 58
    with pytest.raises(ValueError, match=r"one of 24, 28, 32, \.\.\., 256; got '25'"):
        many.index("25")
