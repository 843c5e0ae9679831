"""The report on the measured benchmark, as JSON and as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluator.measured_benchmark import analysis
from evaluator.measured_benchmark.rows import SHIPPED, TrainingRow, header_path, read_benchmark
from evaluator.measured_benchmark.scores import score_correlations
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.schema import Record, check
from space.common.text import columns, format_number, shorten

Rows = Sequence[dict[str, Any]]
REPORTED = Record({}, required=("planned", "recipes", "images"))


def benchmark_report(path: Path | None = None) -> dict[str, Any]:
    """Everything that follows from the rows, ready for JSON.

    Raises:
        ValueError: the file is no benchmark or is damaged, or has no rows.
        OSError: it cannot be read.
    """
    if path is None and not SHIPPED.exists():
        raise ValueError("no rows ship here: make them with evaluator.measured, and name the file")
    path = path or SHIPPED
    rows, header = read_benchmark(path)
    if not rows:
        raise ValueError(f"{path} has no rows yet")
    check(header, REPORTED, source=str(header_path(path)))
    _check_networks(path, rows)
    found, long = analysis.by_network(rows), analysis.by_network(rows, "long")
    return {
        "rows": len(rows),
        "planned": header["planned"],
        "networks": len(found),
        "random": {band: len(members) for band, members in analysis.random_bands(found).items()},
        "cpu_s": sum(row.cpu_s for row in rows),
        "recipes": header["recipes"],
        "images": header["images"],
        "noise": analysis.noise(found),
        "short_and_long": analysis.short_and_long(rows),
        "scores": score_correlations(found, long),
        "axes": analysis.axis_correlations(found, long),
        "patterns": analysis.pattern_results(found),
        "standing": analysis.paper_networks(found),
    }


def _check_networks(path: Path, rows: Sequence[TrainingRow]) -> None:
    """ValueError if a network whose axes are reported is not of the space."""
    space = ShuffleNetV2Space()
    for row in rows:
        if row.group.startswith("band") or row.recipe == "long":
            try:
                space.parse(row.architecture)
            except ValueError as error:
                raise ValueError(f"{path}, {shorten(row.name)}: {error}") from None


def format_report(report: dict[str, Any]) -> str:
    """The report in columns; "-" where there are too few rows for a number."""
    bands = list(report["random"])
    recipe = report["recipes"]["short"]
    lines = [
        f"{report['rows']} of {report['planned']} trainings, {report['networks']} networks, "
        f"{report['cpu_s'] / 3600:.1f} h of processor",
        f"recipe: {recipe['epochs']:g} epochs of {report['images'][0]} images at "
        f"{recipe['input']}x{recipe['input']}, batch {recipe['batch']}; tested on "
        f"{report['images'][1]}",
        "random networks: " + ", ".join(f"{report['random'][b]} in {b}" for b in bands),
        "",
        _noise(report["noise"]),
        _long(report["short_and_long"], report["recipes"]),
        "",
    ]
    names = [*bands, "equal_flops", "overall", "long"]
    headings = ["score: Spearman with accuracy", *bands, "equal FLOPs", "overall", "after long"]
    lines += _correlations(headings, ["score", *names], report["scores"])
    headings = ["axis: Spearman with accuracy", "equal FLOPs", "after long"]
    lines += ["", *_correlations(headings, ["axis", "equal_flops", "long"], report["axes"])]
    for axis, rows in report["patterns"].items():
        headings = [f"ShuffleNet v2 0.5x, {axis}", "FLOPs", "accuracy", "difference", "seeds"]
        cells = [
            [
                f"{row[axis]}{' (paper)' if row['paper'] else ''}",
                f"{row['flops_224'] / 1e6:.1f}M",
                f"{row['accuracy']:.2f}",
                f"{row['difference']:+.2f}",
                str(row["seeds"]),
            ]
            for row in rows
        ]
        lines += ["", *columns(headings, cells)]
        lines.append(format_verdict(axis, rows, report["noise"]["deviation"]))
    headings = ["network of the paper", "FLOPs", "accuracy", "seeds", "beats of its band"]
    cells = [
        [
            row["name"],
            f"{row['flops_224'] / 1e6:.1f}M",
            f"{row['accuracy']:.2f}",
            str(row["seeds"]),
            format_number(row["beats_share_of_band"], ".0%"),
        ]
        for row in report["standing"]
    ]
    lines += ["", *columns(headings, cells)]
    lines += ["", "FLOPs: of the architecture at 224x224. equal FLOPs: mean over the bands."]
    lines += ["after long: with the accuracies after the long trainings, band 1 alone."]
    return "\n".join(lines)


def _correlations(headings: Sequence[str], keys: Sequence[str], rows: Rows) -> list[str]:
    """Columns of `keys`: a name, then numbers."""
    cells = [[row[keys[0]], *(format_number(row[key]) for key in keys[1:])] for row in rows]
    return columns(headings, cells)


def _noise(noise: dict[str, Any]) -> str:
    if not noise["pairs"]:
        return "noise: no network has two seeds yet"
    return (
        f"noise: {noise['pairs']} pairs of seeds; one training deviates by "
        f"{noise['deviation']:.2f} points; one seed ranks the other with Spearman "
        f"{format_number(noise['spearman_equal_flops'])} at equal FLOPs, "
        f"{format_number(noise['spearman'])} overall"
    )


def _long(both: dict[str, Any], recipes: dict[str, Any]) -> str:
    if not both["networks"]:
        return "short against long: no network was trained long yet"
    times = recipes["long"]["epochs"] / recipes["short"]["epochs"]
    return (
        f"short against long ({times:g} times the epochs): {both['networks']} networks of band "
        f"1, Spearman {format_number(both['spearman'])}, long is {both['gain']:+.2f} points better"
    )


def format_verdict(axis: str, rows: Rows, deviation: float | None) -> str:
    """Whether the paper's choice is the best of these, against the noise of both means."""
    if len(rows) < 2:
        return f"{axis}: nothing to compare yet"
    rank, own = next((i, row) for i, row in enumerate(rows) if row["paper"])
    if rank == 0:
        return f"{axis}: the paper's is the best of {len(rows)}"
    best = rows[0]
    text = f"{axis}: the paper's is number {rank + 1} of {len(rows)}, {best[axis]} is the best"
    if deviation is None:
        return text
    error = deviation * (1 / own["seeds"] + 1 / best["seeds"]) ** 0.5
    within = "within" if best["difference"] <= 2 * error else "beyond"
    return f"{text}, {within} two standard errors ({2 * error:.2f} points)"
