"""What the measured benchmark says, as JSON and as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def benchmark_report(path: Path | None = None) -> dict[str, Any]:
    """Everything that the rows tell, ready for JSON.

    Raises:
        ValueError: the file is no benchmark, or has no rows.
    """
    from evaluator.measured_benchmark import analysis as tell
    from evaluator.measured_benchmark.rows import SHIPPED, read_header, read_rows
    from evaluator.measured_benchmark.scores import scores

    if path is None and not SHIPPED.exists():
        raise ValueError("no rows ship here: make them with evaluator.measured, and name the file")
    path = path or SHIPPED
    rows, header = read_rows(path), read_header(path)
    if not rows:
        raise ValueError(f"{path} has no rows yet")
    found, long = tell.networks(rows), tell.networks(rows, "long")
    return {
        "rows": len(rows),
        "planned": header["planned"],
        "networks": len(found),
        "random": {band: len(members) for band, members in tell.bands(found).items()},
        "cpu_s": sum(row.cpu_s for row in rows),
        "recipes": header["recipes"],
        "images": header["images"],
        "noise": tell.noise(found),
        "short_and_long": tell.short_and_long(rows),
        "scores": scores(found, long),
        "axes": tell.axes(found, long),
        "patterns": tell.patterns(found),
        "standing": tell.standing(found),
    }


def as_text(told: dict[str, Any]) -> str:
    """The report in columns; "-" where there are too few rows for a number."""
    bands = list(told["random"])
    recipe = told["recipes"]["short"]
    lines = [
        f"{told['rows']} of {told['planned']} trainings, {told['networks']} networks, "
        f"{told['cpu_s'] / 3600:.1f} h of processor",
        f"recipe: {recipe['epochs']:g} epochs of {told['images'][0]} images at "
        f"{recipe['input']}x{recipe['input']}, batch {recipe['batch']}; tested on "
        f"{told['images'][1]}",
        "random networks: " + ", ".join(f"{told['random'][b]} in {b}" for b in bands),
        "",
        _noise(told["noise"]),
        _long(told["short_and_long"], told["recipes"]),
        "",
    ]
    shown = (*bands, "equal_flops", "overall", "long")
    headings = ["score: Spearman with accuracy", *bands, "equal FLOPs", "overall", "after long"]
    lines += _columns(
        headings,
        [[r["score"], *(_number(r[name]) for name in shown)] for r in told["scores"]],
    )
    rows = [[r["axis"], _number(r["equal_flops"]), _number(r["long"])] for r in told["axes"]]
    headings = ["axis: Spearman with accuracy", "equal FLOPs", "after long"]
    lines += ["", *_columns(headings, rows)]
    deviation = told["noise"]["deviation"]
    for axis, each in told["patterns"].items():
        rows = [
            [
                f"{row[axis]}{' (paper)' if row['paper'] else ''}",
                f"{row['flops_224'] / 1e6:.1f}M",
                f"{row['accuracy']:.2f}",
                f"{row['difference']:+.2f}",
                str(row["seeds"]),
            ]
            for row in each
        ]
        heading = [f"ShuffleNet v2 0.5x, {axis}", "FLOPs", "accuracy", "difference", "seeds"]
        lines += ["", *_columns(heading, rows), _verdict(axis, each, deviation)]
    rows = [
        [
            row["name"],
            f"{row['flops_224'] / 1e6:.1f}M",
            f"{row['accuracy']:.2f}",
            str(row["seeds"]),
            "-" if row["beats_share_of_band"] is None else f"{row['beats_share_of_band']:.0%}",
        ]
        for row in told["standing"]
    ]
    heading = ["network of the paper", "FLOPs", "accuracy", "seeds", "beats of its band"]
    lines += ["", *_columns(heading, rows)]
    lines += ["", "FLOPs: of the architecture at 224x224. equal FLOPs: mean over the bands."]
    lines += ["after long: with the accuracies after the long trainings, band 1 alone."]
    return "\n".join(lines)


def _noise(noise: dict[str, Any]) -> str:
    if not noise["pairs"]:
        return "noise: no network has two seeds yet"
    return (
        f"noise: {noise['pairs']} pairs of seeds; one training deviates by "
        f"{noise['deviation']:.2f} points; one seed ranks the other with Spearman "
        f"{_number(noise['spearman_equal_flops'])} at equal FLOPs, "
        f"{_number(noise['spearman'])} overall"
    )


def _long(both: dict[str, Any], recipes: dict[str, Any]) -> str:
    if not both["networks"]:
        return "short against long: no network was trained long yet"
    times = recipes["long"]["epochs"] / recipes["short"]["epochs"]
    return (
        f"short against long ({times:g} times the epochs): {both['networks']} networks of band "
        f"1, Spearman {_number(both['spearman'])}, long is {both['gain']:+.2f} points better"
    )


def _verdict(axis: str, rows: Sequence[dict[str, Any]], deviation: float | None) -> str:
    """Whether the paper's choice is the best of these, against the noise of both means."""
    if len(rows) < 2:
        return f"{axis}: nothing to compare yet"
    place = next(i for i, row in enumerate(rows) if row["paper"])
    own = rows[place]
    if place == 0:
        return f"{axis}: the paper's is the best of {len(rows)}"
    best = rows[0]
    text = f"{axis}: the paper's is number {place + 1} of {len(rows)}, {best[axis]} is the best"
    if deviation is None:
        return text
    error = deviation * (1 / own["seeds"] + 1 / best["seeds"]) ** 0.5
    within = "within" if best["difference"] <= 2 * error else "beyond"
    return f"{text}, {within} two standard errors ({2 * error:.2f} points)"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    return [
        "  ".join(
            format(cell, f"{'>' if index else '<'}{width}")
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [headings, *rows]
    ]
