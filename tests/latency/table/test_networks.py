"""Predictions of many networks at once equal those of one block at a time."""

import numpy as np
import pytest

from latency.builder.random_networks import VARIANTS, random_networks
from latency.table.load import load_table
from latency.table.networks import known_predictions, predictions
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.errors import MissingOpError
from space.zoo.families import shufflenet_v2


def one_by_one(table, network):
    try:
        return sum(table.block_s(block) for block in network.blocks)
    except MissingOpError:
        return np.nan


@pytest.mark.parametrize("target", ["arm", "gpu", "rpi5", "epyc-milan-ort-int8"])
def test_networks_of_every_family_cost_what_their_blocks_cost(target):
    table = load_table(target)
    networks = [n for name in VARIANTS for n in random_networks(name, 2, seed=3)]
    networks += random_networks("shufflenet_v2", 4, seed=3)
    networks += random_networks("shufflenet_v2", 4, seed=3, relax=("g1", "g2", "g3", "g4"))
    networks += random_networks(
        "shufflenet_v2", 1, seed=3, space=ShuffleNetV2Space(height=160, width=160)
    )
    found = known_predictions(table, networks)
    np.testing.assert_allclose(found, [one_by_one(table, n) for n in networks], rtol=1e-9)
    if target in ("arm", "gpu"):
        assert np.isfinite(found).all()
    else:
        assert np.isnan(found).any() and np.isfinite(found).any()


def test_a_missing_block_is_named():
    table = load_table("rpi5")
    space = ShuffleNetV2Space(classes=10)
    other = space.lower(space.point(widths=(116, 232, 464)))
    with pytest.raises(MissingOpError, match=r"has no head@7x7 .*classes=10"):
        predictions(table, [shufflenet_v2("1.0"), other])


def test_no_networks():
    assert known_predictions(load_table("arm"), []).shape == (0,)
