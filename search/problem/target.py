"""The latency table of a target; a coarse one of this machine is built first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.problem.problem import Table


def target_table(target: str) -> Table:
    """The table of a target; builds a coarse one first for `cpu` if this host has none."""
    from latency.table.load import load_table

    try:
        return load_table(target)
    except FileNotFoundError:
        if target != "cpu":
            raise
    from latency.builder.build import ensure_host_table

    ensure_host_table()
    # As the next run will read it: a study knows its table by what the file says.
    return load_table(target)
