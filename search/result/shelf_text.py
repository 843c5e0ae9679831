"""The shelf for people: its rows as a table, and in one sentence when it wins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from latency.table.header import TableHeader
from search.problem.budget import scaled
from search.result.rows import ResultRow
from search.result.shelf import BASELINE, Shelf, ShelfRow
from search.result.shelf_times import family_name, first_of
from space.common.text import columns, format_number

EQUAL_POINTS = 0.5  # top-1 of one network differs as much between like recipes
EQUAL_TIME = 0.05  # differences of a few per cent are noise
Estimates = Mapping[str, tuple[float, float, float]]
"""By the name of a winner: its estimated top-1 in percent, and the ends of its interval."""


def print_shelf(
    shelf: Shelf,
    rows: Sequence[ResultRow],
    header: TableHeader,
    estimates: Estimates | None = None,
) -> None:
    """The shelf on stdout, below the winners and the baseline in `rows`."""
    table = _table(shelf, header) if shelf.rows else []
    print("\n".join(["", *table, *shelf_lines(shelf, rows, header, estimates)]))


def _table(shelf: Shelf, header: TableHeader) -> list[str]:
    """The rows and the baseline, fastest first, in columns."""
    shown = [*shelf.rows, *([shelf.base] if shelf.base else [])]
    shown.sort(key=lambda each: shelf.seconds(each.row))
    measured = any(each.row.measured_s is not None for each in shown)
    per = "" if header.batch == 1 else f" of {header.batch}"
    headings = ["off the shelf", "FLOPs", "params", f"latency{per}"]
    headings += [*["run whole"] * measured, "speed-up", "top-1", "weights", "recipe"]
    cells = []
    for each in shown:
        row, whole = each.row, each.row.measured_s
        cells.append([
            row.name,
            scaled(row.flops, "flops"),
            scaled(row.params, "params"),
            scaled(row.latency_s or 0, "latency_s"),
            *["-" if whole is None else scaled(whole, "latency_s")] * measured,
            "-" if row.speed_up is None else f"{row.speed_up:.2f}x",
            _percent(each.top1),
            each.weights.weights,
            each.weights.recipe,
        ])  # fmt: skip
    return columns(headings, cells, left=(0, len(headings) - 2, len(headings) - 1))


def shelf_lines(
    shelf: Shelf,
    rows: Sequence[ResultRow],
    header: TableHeader,
    estimates: Estimates | None = None,
) -> list[str]:
    """What must be known of the rows, and the sentence."""
    if shelf.prices.note:
        return [f"off the shelf: not compared; {shelf.prices.note}"]
    lines = []
    if shelf.rows:
        lines.append("top-1: ImageNet, published for these weights" + _about(shelf, header))
    over = Counter(budget for each in shelf.rows for budget in each.over)
    for budget in over:
        names = ", ".join(each.name for each in shelf.rows if budget in each.over)
        lines.append(f"over the budget of {budget}: {names}")
    without = [p.entry.name for p in shelf.prices.networks if p.latency_s is None]
    if without:
        share = f"{len(without)} of {len(shelf.prices.networks)} networks"
        families = first_of(dict.fromkeys(map(family_name, without)))
        lines.append(f"no latency here: {share} ({families}); {shelf.prices.why}")
    if sentence := verdict(shelf, rows, estimates):
        lines.append(sentence)
    return lines


def _about(shelf: Shelf, header: TableHeader) -> str:
    """What else the numbers are."""
    words = []
    if header.dtype == "int8":
        words.append("in float32, int8 is less")
    if timed := [each.name for each in shelf.rows if each.timed]:
        every = "all" if len(timed) == len(shelf.rows) else ", ".join(timed)
        words.append(f"latency of {every}: run whole on this machine, at the table's speed of it")
    elif header.layout == "ops":
        words.append("the error of the latency is not known for such networks")
    if shelf.whole:
        words.append("speed-up: of those just run whole")
    return "".join(f"; {each}" for each in words)


def verdict(shelf: Shelf, rows: Sequence[ResultRow], estimates: Estimates | None = None) -> str:
    """One sentence: when the shelf wins over the baseline and the winners. "" where no network
    has a latency."""
    known = [p for p in shelf.prices.networks if p.latency_s is not None]
    if not known:
        return ""
    base = next((row for row in rows if row.role == BASELINE), None)
    if base is None:
        sentence = _without_baseline(shelf)
    elif shelf.best is None:
        sentence = f"nothing off the shelf is as fast as {base.name}" + _above(shelf, base)
    elif shelf.base is None:
        share, top1 = _share(shelf, shelf.best, base), _percent(shelf.best.top1)
        sentence = (
            f"at {base.name}'s latency the shelf has {shelf.best.name}, published at {top1}, in "
            f"{share} of its time; no top-1 of {base.name} is published"
        )
    else:
        sentence = _against(shelf, base, shelf.best, shelf.base) + _choice(shelf, base, rows)
    sentence += _estimated(shelf, rows, estimates or {})
    if sentence and len(known) < len(shelf.prices.networks):
        return f"of the {len(known)} with a latency: {sentence}"
    return sentence


def _without_baseline(shelf: Shelf) -> str:
    if shelf.best is None:
        return "nothing off the shelf is as fast as a winner"
    return (
        f"at the slowest winner's latency the shelf has {shelf.best.name}, published at "
        f"{_percent(shelf.best.top1)}"
    )


def _against(shelf: Shelf, base: ResultRow, best: ShelfRow, known: ShelfRow) -> str:
    """Of the baseline and the shelf's best at its latency."""
    facts = f"{best.name} is published at {_percent(best.top1)}, {base.name} at "
    facts += _percent(known.top1)
    if best.top1 < known.top1:
        return f"the shelf does not win at {base.name}'s latency: {facts}" + _above(shelf, base)
    share = _share(shelf, best, base)
    small = best.top1 - known.top1 < EQUAL_POINTS and float(share) > 1 - EQUAL_TIME
    word = "is level" if small else "wins"
    return f"the shelf {word} at {base.name}'s latency: {facts}, and takes {share} of its time"


def _above(shelf: Shelf, base: ResultRow) -> str:
    """The first of the shelf with the baseline's top-1 where that is slower."""
    level = shelf.level
    if level is None or shelf.seconds(level.row) <= shelf.seconds(base):
        return ""
    share, top1 = _share(shelf, level, base), _percent(level.top1)
    return f"; the fastest with as much is {level.name}, {top1}, in {share} of the time"


def _choice(shelf: Shelf, base: ResultRow, rows: Sequence[ResultRow]) -> str:
    """Whether a winner is worth its training, where the shelf has the baseline's top-1."""
    fast, level = _fastest(shelf, base, rows), shelf.level
    if level is None or shelf.seconds(level.row) > shelf.seconds(base):
        return ""
    time = scaled(shelf.seconds(level.row), "latency_s")
    if fast is None or shelf.seconds(fast) >= shelf.seconds(level.row):
        other = "" if level == shelf.best else f", or {level.name} in {time}"
        return f": take it{other}; no winner with the baseline's score is faster"
    own = "its" if level == shelf.best else f"{level.name}'s"
    return f": take it, and train {fast.name} only if you need less than {own} {time}"


def _fastest(shelf: Shelf, base: ResultRow, rows: Sequence[ResultRow]) -> ResultRow | None:
    """The fastest winner that scores as high as the baseline."""
    least = base.score
    good = [
        row
        for row in rows
        if row.genes and row is not base and row.latency_s is not None
        if row.score is not None and least is not None and row.score >= least
    ]
    return min(good, key=shelf.seconds, default=None)


def _estimated(shelf: Shelf, rows: Sequence[ResultRow], estimates: Estimates) -> str:
    """Where the shelf's best at each winner's latency lies against the winner's estimate."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.name not in estimates or row.role == BASELINE or row.latency_s is None:
            continue
        at = shelf.at(shelf.seconds(row))
        if at is not None:
            _, low, high = estimates[row.name]
            where = "above" if at.top1 > high else "below" if at.top1 < low else "inside"
            found.setdefault((at.name, where), []).append(f"{row.name}'s")
    words = [f"{at} {where} {' and '.join(own)}" for (at, where), own in found.items()]
    return f"; against the intervals of the estimate: {', '.join(words)}" if words else ""


def _percent(value: float | None) -> str:
    return f"{format_number(value, '.1f')} %"


def _share(shelf: Shelf, each: ShelfRow, base: ResultRow) -> str:
    """Its latency over the baseline's."""
    return f"{shelf.seconds(each.row) / shelf.seconds(base):.2f}"
