"""How fast is the machine now, against when a table was built?

A machine's pace changes from day to day, by who else uses it and how warm it is. Some blocks of a
table are timed again, as they were then; no network has a part in it. It tells an error of the
table from a change of the machine.
"""

from __future__ import annotations

import numpy as np

from latency.devices import Session
from latency.grid import block_in_context
from latency.measure import Floats, Target, target_measurement
from latency.quiet import slowness
from latency.table import LatencyTable

ENDS = ("stem", "head", "classifier")  # once in a network, with nothing like it beside
BLOCKS = 24
PASSES, ROUNDS = 2, 4


def some_blocks(table: LatencyTable, count: int = BLOCKS, seed: int = 0) -> list[Target]:
    """Measured blocks that stand among copies of themselves, drawn at random."""
    targets = [block_in_context(block) for block in table.entries if block.kind not in ENDS]
    alone = [target for target in targets if target.before == (target.block,)]
    chosen = np.random.default_rng(seed).permutation(len(alone))[:count]
    return [alone[i] for i in chosen]


def pace(session: Session, table: LatencyTable) -> float | None:
    """Median ratio of what blocks take now to what the table says; None if none can be told.

    Raises:
        OSError: the device is gone.
    """
    targets = some_blocks(table)
    if not targets:
        return None
    chains = tuple(dict.fromkeys(chain for target in targets for chain in target.chains))
    parts = [
        session.time(chains, batch=table.header.batch, rounds=ROUNDS).times for _ in range(PASSES)
    ]
    times: Floats = np.concatenate(parts, axis=1)
    slow = slowness(times)
    ratios = []
    for target in targets:
        try:
            found = target_measurement(target, chains, times, slow)
        except ValueError:  # too noisy to tell
            continue
        ratios.append(found.median_s / table.entries[target.block].median_s)
    return float(np.median(ratios)) if ratios else None
