"""How well the labels of shared weights rank networks that were trained one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evaluator.measured_file import read_header, read_rows
from evaluator.measured_tell import (
    FEWEST,
    Floats,
    Measured,
    mean_of,
    networks,
    noise,
    spearman,
)
from evaluator.supernet_run import Labels
from space.shufflenet_v2 import ShuffleNetV2Space


def rank(labels: Labels, path: Path, *, most: int | None = None) -> dict[str, Any]:
    """Rank correlation with the accuracies in `path`, rows of `evaluator.measured`, at equal
    FLOPs (the mean over its bands) and overall; of FLOPs alone too, for comparison. Of those
    that were also trained long, the same by band, as "long".

    Raises:
        ValueError: the weights were trained for fewer than five of its networks.
    """
    from scipy import stats

    rows, header = read_rows(path), read_header(path)
    found = {
        n: m for n, m in networks(rows).items() if m.row.group.startswith(("band", "pattern"))
    }
    space = ShuffleNetV2Space()
    every = list(found.values())
    parsed = [space.parse(each.row.architecture).genes for each in every]
    genes = np.array(parsed, dtype=np.int16).reshape(len(every), len(space.slots))
    inside = labels.within(genes, np.array([each.row.flops_224 for each in every]))
    rows_of = np.flatnonzero(inside)[:most]
    if len(rows_of) < FEWEST:
        raise ValueError(
            f"{path} has {len(rows_of)} trained networks that these weights were trained for, of "
            f"{len(found)}; at least {FEWEST} are needed. Train the supernet with wider --limits "
            "or --budget, or measure more networks"
        )
    usable = [every[row] for row in rows_of]
    mine = labels.accuracies(genes[rows_of])
    theirs = np.array([each.accuracy for each in usable])
    flops = np.array([each.row.flops for each in usable], dtype=float)
    by_band = _by_band(usable, mine, theirs)
    longer = networks(rows, "long")
    both = [row for row, each in enumerate(usable) if each.row.name in longer]
    after_long = [longer[usable[row].row.name].accuracy for row in both]
    there = header["recipes"]["short"]
    differing = [n for n in ("input", "drop") if there.get(n) != getattr(labels.recipe, n)]
    return {
        "networks": len(usable),
        "of": len(found),
        "spearman": spearman(mine.tolist(), theirs.tolist()),
        "kendall": float(stats.kendalltau(mine, theirs).statistic) if np.ptp(mine) else None,
        "spearman_equal_flops": mean_of(e["supernet"] for e in by_band.values()),
        "flops_spearman": spearman(flops.tolist(), theirs.tolist()),
        "flops_equal_flops": mean_of(e["flops"] for e in by_band.values()),
        "bands": by_band,
        "long": _by_band([usable[row] for row in both], mine[both], np.array(after_long)),
        "seeds": noise({e.row.name: e for e in usable}),
        "differing": differing,
        "rows": [
            {
                "name": e.row.name,
                "architecture": e.row.architecture,
                "flops": e.row.flops,
                "trained": e.accuracy,
                "supernet": float(value),
            }
            for e, value in zip(usable, mine, strict=True)
        ],
    }


def _by_band(usable: list[Measured], mine: Floats, theirs: Floats) -> dict[str, dict[str, Any]]:
    groups = np.array([each.row.group for each in usable])
    flops = np.array([each.row.flops for each in usable], dtype=float)
    found: dict[str, dict[str, Any]] = {}
    for band in sorted(set(groups.tolist())):
        inside = groups == band
        found[band] = {
            "networks": int(inside.sum()),
            "supernet": spearman(mine[inside].tolist(), theirs[inside].tolist()),
            "flops": spearman(flops[inside].tolist(), theirs[inside].tolist()),
        }
    return found


def as_text(told: dict[str, Any]) -> str:
    """The report in lines; "-" where there are too few networks for a number."""

    def number(value: float | None) -> str:
        return "    -" if value is None else f"{value:5.2f}"

    lines = [f"these weights were trained for {told['networks']} of {told['of']} trained networks"]
    if told["differing"]:
        lines.append(f"they were trained with another {', '.join(told['differing'])}")
    lines.append(f"{'Spearman with trained accuracy':32}  networks  supernet  FLOPs")

    def add(title: str, networks: int | str, supernet: float | None, flops: float | None) -> None:
        lines.append(f"{title:32}  {networks:8}  {number(supernet):>8}  {number(flops)}")

    for band, each in told["bands"].items():
        add(band, each["networks"], each["supernet"], each["flops"])
    equal = told["spearman_equal_flops"], told["flops_equal_flops"]
    add("equal FLOPs (mean of the above)", "", *equal)
    add("overall", told["networks"], told["spearman"], told["flops_spearman"])
    for band, each in told["long"].items():
        add(f"{band}, trained long", each["networks"], each["supernet"], each["flops"])
    lines.append(f"Kendall overall: {number(told['kendall']).strip()}")
    seeds = told["seeds"]
    if seeds["pairs"]:
        lines.append(f"one seed ranks another: {number(seeds['spearman']).strip()} overall")
    return "\n".join(lines)
