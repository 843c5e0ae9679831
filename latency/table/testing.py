"""Test cases that every latency table must pass. Inherit a class in a test file:

class TestMyTable(TableContract):
    networks = (shufflenet_v2("1.0"),)

    def table(self, factor=1.0):
        return MyTable(replace(HEADER, scale={"factor": factor, "how": "test"}))
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from latency.table.family_fit import SIZES
from latency.table.header import TableHeader
from latency.table.load import AnyTable
from space.network.block import BlockBatch
from space.network.network import Network


class TableContract(ABC):
    """What a search expects of a table: positive seconds of blocks, the same every time, of which
    a network's are the sum.

    Attributes:
        networks: some that the table predicts.
    """

    networks: Sequence[Network]

    @abstractmethod
    def table(self, factor: float = 1.0) -> AnyTable:
        """The table, with a scale factor in its header."""

    def test_a_network_costs_the_sum_of_its_blocks(self) -> None:
        table = self.table()
        for network in self.networks:
            seconds = np.array([table.block_s(block) for block in network.blocks])
            np.testing.assert_array_equal(np.isfinite(seconds) & (seconds > 0), True)
            np.testing.assert_allclose(table.network_s(network.blocks), seconds.sum(), rtol=1e-12)

    def test_a_batch_costs_what_its_blocks_cost(self) -> None:
        table = self.table()
        for block in dict.fromkeys(b for network in self.networks for b in network.blocks):
            fields: dict[str, Any] = dict(block.fields)
            fields |= {name: np.full(3, fields[name]) for name in SIZES if name in fields}
            found = table.predict(BlockBatch(block.kind, block.height, block.width, fields))
            np.testing.assert_equal((found.shape, found.dtype), ((3,), np.dtype(np.float64)))
            np.testing.assert_allclose(found, table.block_s(block), rtol=1e-12)

    def test_the_scale_factor_multiplies_every_latency(self) -> None:
        for network in self.networks:
            expected = 2 * self.table().network_s(network.blocks)
            np.testing.assert_allclose(self.table(2.0).network_s(network.blocks), expected)

    def test_a_latency_is_the_same_every_time(self) -> None:
        first, second = ([self.table().network_s(n.blocks) for n in self.networks] for _ in "ab")
        np.testing.assert_equal(first, second)

    def test_the_header_round_trips(self) -> None:
        header = self.table().header
        np.testing.assert_equal(TableHeader.from_json(header.to_json()) == header, True)
