"""Predicts many networks at once: each block once, and the blocks of a family together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from latency.table.family_fit import SIZES, Floats
from latency.table.interpolate import family_rows
from latency.table.load import AnyTable
from space.network.block import Block, BlockBatch
from space.network.network import Network


def predictions(table: AnyTable, networks: Sequence[Network]) -> Floats:
    """Predicted seconds of each network, float64 [n].

    Raises:
        MissingOpError: the table lacks a block.
    """
    found = known_predictions(table, networks)
    for index in np.flatnonzero(np.isnan(found)).tolist():
        table.network_s(networks[index].blocks)  # raises
    return found


def known_predictions(table: AnyTable, networks: Sequence[Network]) -> Floats:
    """Predicted seconds of each network, float64 [n]; NaN if the table lacks a block."""
    seconds: dict[Block, float] = {}
    every = dict.fromkeys(block for network in networks for block in network.blocks)
    for blocks, batch in _batches(every):
        known = table.covers(batch)
        if known.all():
            seconds |= zip(blocks, table.predict(batch).tolist(), strict=True)
        elif known.any():
            some = [block for block, own in zip(blocks, known, strict=True) if own]
            seconds |= zip(some, table.predict(_batch(some)).tolist(), strict=True)
    return np.array(
        [sum(seconds.get(block, np.nan) for block in network.blocks) for network in networks],
        dtype=np.float64,
    )


def _batches(blocks: Iterable[Block]) -> Iterator[tuple[list[Block], BlockBatch]]:
    """Blocks of one family, and the same as a batch."""
    groups: dict[object, list[Block]] = {}
    for block in blocks:
        fields = tuple((name, 0 if name in SIZES else value) for name, value in block.fields)
        groups.setdefault((block.kind, block.height, block.width, fields), []).append(block)
    for group in groups.values():
        for rows in family_rows(_batch(group)):  # widths may decide which steps a unit has
            some = [group[row] for row in rows]
            yield some, _batch(some)


def _batch(blocks: Sequence[Block]) -> BlockBatch:
    first = blocks[0]
    fields = {
        name: np.array([block[name] for block in blocks]) if name in SIZES else value
        for name, value in first.fields
    }
    return BlockBatch(first.kind, first.height, first.width, fields)
