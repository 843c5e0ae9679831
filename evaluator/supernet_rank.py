"""How well the labels of shared weights rank networks that were trained one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evaluator.measured_file import read_header, read_rows
from evaluator.measured_tell import Measured, mean_of, networks, noise, spearman
from evaluator.supernet_run import Labels
from evaluator.supernet_weights import layers
from space.shufflenet_v2 import ShuffleNetV2Space

FEWEST = 5


def rank(labels: Labels, path: Path, *, most: int | None = None) -> dict[str, Any]:
    """Rank correlation with the accuracies in `path`, rows of `evaluator.measured`, at equal
    FLOPs (the mean over its bands) and overall; of FLOPs alone too, for comparison.

    Raises:
        ValueError: fewer than five of its networks can be cut from the shared weights.
    """
    from scipy import stats

    rows, header = read_rows(path), read_header(path)
    found = {
        n: m for n, m in networks(rows).items() if m.row.group.startswith(("band", "pattern"))
    }
    space = ShuffleNetV2Space()
    usable: list[tuple[Measured, tuple[int, ...]]] = []
    for each in found.values():
        genes = space.parse(each.row.architecture).genes
        try:
            layers(labels.network(np.array(genes)), labels.judge.shared.network)
        except ValueError:
            continue
        usable.append((each, genes))
    usable = usable[:most]
    if len(usable) < FEWEST:
        raise ValueError(
            f"{path} has {len(usable)} trained networks that can be cut from these weights, of "
            f"{len(found)}; at least {FEWEST} are needed. Train the supernet with wider --limits, "
            "or measure more networks"
        )
    mine = labels.accuracies(np.array([genes for _, genes in usable], dtype=np.int16))
    theirs = np.array([each.accuracy for each, _ in usable])
    flops = np.array([each.row.flops for each, _ in usable], dtype=float)
    groups = np.array([each.row.group for each, _ in usable])
    by_band: dict[str, dict[str, Any]] = {}
    for band in sorted(set(groups)):
        inside = groups == band
        by_band[str(band)] = {
            "networks": int(inside.sum()),
            "supernet": spearman(mine[inside].tolist(), theirs[inside].tolist()),
            "flops": spearman(flops[inside].tolist(), theirs[inside].tolist()),
        }
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
        "seeds": noise({e.row.name: e for e, _ in usable}),
        "differing": differing,
        "rows": [
            {
                "name": e.row.name,
                "architecture": e.row.architecture,
                "flops": e.row.flops,
                "trained": e.accuracy,
                "supernet": float(value),
            }
            for (e, _), value in zip(usable, mine, strict=True)
        ],
    }


def as_text(told: dict[str, Any]) -> str:
    """The report in lines; "-" where there are too few networks for a number."""

    def number(value: float | None) -> str:
        return "    -" if value is None else f"{value:5.2f}"

    lines = [f"{told['networks']} of {told['of']} trained networks can be cut from these weights"]
    if told["differing"]:
        lines.append(f"they were trained with another {', '.join(told['differing'])}")
    lines.append(f"{'Spearman with trained accuracy':32}  networks  supernet  FLOPs")
    for band, each in told["bands"].items():
        own, flops = number(each["supernet"]), number(each["flops"])
        lines.append(f"{band:32}  {each['networks']:8}  {own:>8}  {flops}")
    own, flops = number(told["spearman_equal_flops"]), number(told["flops_equal_flops"])
    lines.append(f"{'equal FLOPs (mean of the above)':32}  {'':8}  {own:>8}  {flops}")
    own, flops = number(told["spearman"]), number(told["flops_spearman"])
    lines.append(f"{'overall':32}  {told['networks']:8}  {own:>8}  {flops}")
    lines.append(f"Kendall overall: {number(told['kendall']).strip()}")
    seeds = told["seeds"]
    if seeds["pairs"]:
        lines.append(f"one seed ranks another: {number(seeds['spearman']).strip()} overall")
    return "\n".join(lines)
