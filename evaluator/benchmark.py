"""How well does each score rank trained networks? `python -m evaluator.benchmark nats-sss`"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DATASETS = ("nats-sss", "accel-nasbench")
COLUMNS = {
    "score": "score",
    "spearman": "rho",
    "kendall": "tau",
    "spearman_equal_flops": "rho eq",
    "kendall_equal_flops": "tau eq",
    "worst_decile": "worst",
    "negative_deciles": "< 0",
}
CAPTION = (
    "rho: Spearman, tau: Kendall; eq: mean over ten deciles of FLOPs;\n"
    "worst: lowest rho of a decile; < 0: deciles where the sign flips"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 0 done, 2 wrong usage or no data."""
    args = _parser().parse_args(argv)
    from evaluator.trained import MissingDataError

    try:
        report = benchmark(
            args.dataset,
            data=args.data,
            proxies=args.proxies,
            names=args.names.split(",") if args.names else None,
            seed=args.seed,
            cache=args.cache,
        )
    except (MissingDataError, ValueError, OSError) as error:
        print(f"evaluator.benchmark: {error}", file=sys.stderr)
        return 2
    if args.format == "json":
        print(json.dumps(report, indent=1))
    else:
        _print_table(report)
    return 0


def benchmark(
    dataset: str,
    *,
    data: str | None = None,
    proxies: int = 0,
    names: Sequence[str] | None = None,
    seed: int = 0,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Judge every score on `dataset`; with `proxies` > 0, on that many networks drawn at random,
    and the training-free scores `names` (all) with them."""
    import numpy as np

    from evaluator import candidates, ranking, trained

    table = trained.TABLES[dataset](data)
    n = len(table.flops)
    unfitted = trained.halves(n)[1]
    most = len(unfitted)
    if proxies and not 3 * ranking.DECILES <= proxies <= most:
        raise ValueError(
            f"--proxies takes {3 * ranking.DECILES} to {most} networks; got {proxies}"
        )
    scores = candidates.formulas(table)
    if proxies:
        # The first of one order, so that a larger sample holds the smaller one; of the half that
        # the closed form was not fitted on.
        sample = np.random.default_rng(seed).permutation(unfitted)[:proxies]
        subsets = {"sample of the half not fitted on": sample}
        scores = {name: score[sample] for name, score in scores.items()}
        computed = candidates.proxy_scores(
            table, sample.tolist(), names=names, seed=seed, cache=cache
        )
        scores = candidates.with_proxies(scores, computed)
    else:
        subsets = {"all": np.arange(n)}
        if dataset == "accel-nasbench":
            subsets["half not fitted on"] = unfitted
    rows = []
    for subset, index in subsets.items():
        for target, accuracy in table.accuracy.items():
            for name, score in scores.items():
                here = score if proxies else score[index]
                found = ranking.agreement(here, accuracy[index], table.flops[index])
                shown = {field: getattr(found, field) for field in found.__slots__}
                rows.append({"score": name, "accuracy": target, "networks": subset, **shown})
    return {
        "dataset": dataset,
        "seed": seed,
        "proxy_input": candidates.PROXY_INPUT[dataset] if proxies else None,
        "versions": _versions(with_torch=bool(proxies)),
        "rows": rows,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evaluator.benchmark",
        description="Rank correlation of each score with the accuracy of trained networks, over "
        "all of them and within deciles of FLOPs (mean of ten).",
    )
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument(
        "--data", metavar="DIR", help="folder of tables (default: $G4NAS_DATA, ../shared/data)"
    )
    parser.add_argument(
        "--proxies",
        type=int,
        default=0,
        metavar="N",
        help="also compute training-free scores of N networks drawn at random, and judge every "
        "score on those; what is computed is kept and not computed again",
    )
    parser.add_argument(
        "--names",
        metavar="A,B",
        help="which training-free scores, of meco, naswot, synflow, zen, zico (default: all)",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="FILE",
        help="where computed scores are kept (default: proxies.jsonl in $G4NAS_CACHE or "
        "~/.cache/g4nas)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    return parser


def _versions(*, with_torch: bool) -> dict[str, str]:
    from importlib.metadata import version

    names = ["numpy", "scipy", "pandas", *(["torch"] if with_torch else [])]
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def _print_table(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in report["rows"]:
        title = f"{report['dataset']}, {row['accuracy']}, {row['networks']}: {row['n']:,} networks"
        groups.setdefault(title, []).append(row)
    for title, rows in groups.items():
        table = Table(title=title)
        for index, heading in enumerate(COLUMNS.values()):
            table.add_column(heading, justify="right" if index else "left")
        for row in rows:
            cells = [row[key] for key in COLUMNS]
            table.add_row(
                *(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells)
            )
        console.print(table)
    console.print(CAPTION, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
