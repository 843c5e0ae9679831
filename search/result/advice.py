"""What follows from a result where no winner is ahead of the baseline."""

from __future__ import annotations

from search.problem.estimate_score import EstimateScore
from search.problem.problem import CLOSED_FORM
from search.result.rows import ResultRow
from search.result.search_result import SearchResult
from search.result.shelf_text import EQUAL_POINTS, EQUAL_TIME


def no_winner_line(result: SearchResult) -> str:
    """In the place of the winners, if there is none: the best found is the baseline itself."""
    base = result.baseline
    if base is None or result.winners:
        return ""
    return (
        f"no winner: {_taken_off(result)}no network found is faster than {base.name} at its "
        "score, or scores higher at its latency"
    )


def advice_lines(result: SearchResult) -> list[str]:
    """What to do if no winner is ahead of the baseline; none without a baseline."""
    base = result.baseline
    if base is None:
        return []
    found = result.found
    good = found.feasible & (found.score >= base.score)
    faster = bool((found.costs.latency_s[good] < base.latency_s).any())
    lines = []
    if result.winners and not faster:
        lines.append(
            f"{_taken_off(result)}none found is faster than {base.name} at its score: take "
            f"{base.name}"
        )
    elif result.winners and _level(result):
        lines.append(
            f"all winners are within {EQUAL_TIME:.0%} of {base.name}'s latency and within "
            f"{EQUAL_POINTS} points of its estimate, which is noise: it is as good a choice"
        )
    elif result.winners:
        return []
    return [*lines, f"what to do: {'; '.join(_choices(result, base.name))}"]


def _taken_off(result: SearchResult) -> str:
    """What the score takes off, before a sentence; "" for nothing."""
    score = result.problem.score
    if not isinstance(score, EstimateScore) or score.caution <= 0:
        return ""
    verb = "is" if score.caution == 1 else "are"
    return f"once {score.deviations} of the difference {verb} taken off, "


def _level(result: SearchResult) -> bool:
    """Whether all winners are as fast and as good as the baseline, as far as one can tell."""
    rows = result.rows[: len(result.winners)]
    return all(_like_the_baseline(row) for row in rows)


def _like_the_baseline(row: ResultRow) -> bool:
    if row.estimate is None or row.speed_up is None:
        return False
    return row.speed_up < 1 + EQUAL_TIME and row.estimate.difference < EQUAL_POINTS


def _choices(result: SearchResult, base: str) -> list[str]:
    shelf, score = result.shelf, result.problem.score
    first = f"take {base}"
    if shelf is not None and shelf.best is not None and shelf.base is not None:
        if shelf.best.top1 >= shelf.base.top1:
            first = f"take {shelf.best.name} off the shelf, or {base}"
        else:
            first += f", published at {shelf.base.top1:.1f} %"
    choices = [first]
    if isinstance(score, EstimateScore) and score.caution > 0:
        choices.append(
            "--optimism 1 ranks by the mean of the estimate, so that winner 1 is faster, and as "
            f"likely below {base} in top-1 as above it"
        )
    if isinstance(score, EstimateScore) or score == CLOSED_FORM:
        name = "the estimate" if isinstance(score, EstimateScore) else "the score"
        choices.append(f"--data DIR replaces {name} by labels, trained on your images")
    return choices
