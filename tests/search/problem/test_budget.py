from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.problem.budget import Budget, parse_budgets, scaled
from space.common.text import shorten
from tests.helpers.hostile import examples

ACCEPTED = {
    "146M": ("flops", 146_000_000),
    "1.2G": ("flops", 1_200_000_000),
    "900K": ("flops", 900_000),
    ".5M": ("flops", 500_000),
    "0041M": ("flops", 41_000_000),
    "2.3Mparams": ("params", 2_300_000),
    "900Kparams": ("params", 900_000),
    "1Gparams": ("params", 1_000_000_000),
    "2278604params": ("params", 2_278_604),
    "30ms": ("latency_s", 0.030),
    "500us": ("latency_s", 0.0005),
    "1.2s": ("latency_s", 1.2),
    "2.5MB": ("weight_bytes", 2_500_000),
    "900KB": ("weight_bytes", 900_000),
    "600KBpeak": ("peak_bytes", 600_000),
    "1.5MBpeak": ("peak_bytes", 1_500_000),
}
REFUSED = (
    "", " ", "146", "0.5", "M", "ms", "params", "-5M", "-30ms", "+5M", "0M", "0.0ms", "00params",
    "146m", "146g", "146k", "30MS", "30Ms", "30S", "30US", "2.3mparams", "2.3MParams", "2.3Mparam",
    "nan", "inf", "nanM", "infms", "1e6", "1e6M", "0x10M", "1,5M", "1_000M", "1.M", "1..2M",
    "146 M", "146M 30ms", "146M,30ms", "146M\n30ms", "146MiB", "146mb", "600B", "600KBPeak",
    "600Kpeak", "30min", "\u0661\u0664\u0666M",
    "30\u00b5s", "\uff11M", "9" * 400 + "M", "0." + "0" * 400 + "1ms",
    "146M,146M", "1e400M", "nanms", "0.0001us", "0.0000001M", "0.5params", "9" * 41 + "s",
    "9" * 40 + "M", "9" * 200_000 + "M",
)  # fmt: skip


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted_forms(text: str) -> None:
    budget = Budget.parse(text)
    cost, limit = ACCEPTED[text]
    assert budget.cost == cost
    assert budget.limit == pytest.approx(limit, rel=1e-15)
    assert str(budget) == text
    assert Budget.parse(str(budget)) == budget


def test_spaces_around_are_dropped() -> None:
    assert Budget.parse(" 146M\n") == Budget.parse("146M")


@pytest.mark.parametrize("text", REFUSED)
def test_refused_forms_list_the_accepted_ones(text: str) -> None:
    message = "a budget must be FLOPs such as 146M.*Mparams.*30ms.*; got "
    with pytest.raises(ValueError, match=message) as error:
        Budget.parse(text)
    assert shorten(text) in str(error.value)
    assert len(str(error.value)) < 250


def test_budgets_combine_in_order() -> None:
    budgets = parse_budgets(["30ms", "146M", "2Mparams"])
    assert [b.cost for b in budgets] == ["latency_s", "flops", "params"]
    assert list(map(str, budgets)) == ["30ms", "146M", "2Mparams"]


@pytest.mark.parametrize("pair", [("146M", "146M"), ("1G", "900M"), ("30ms", "1s")])
def test_one_budget_per_cost(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=f"one budget; got {pair[0]} and {pair[1]}"):
        parse_budgets(["2Mparams", *pair])


def test_at_least_one_budget() -> None:
    with pytest.raises(ValueError, match="at least one budget is needed: FLOPs such as"):
        parse_budgets([])


@pytest.mark.parametrize(
    ("value", "cost", "text"),
    [
        (144_907_992, "flops", "144.9M"),
        (1_234_000_000, "flops", "1.234G"),
        (2_278_604, "params", "2.279M"),
        (999, "params", "999"),
        (0.0283, "latency_s", "28.3 ms"),
        (1.5, "latency_s", "1.5 s"),
        (0.0005, "latency_s", "500 us"),
        (2e-7, "latency_s", "0.2 us"),
        (1.016, "g1", "1.016"),
    ],
)
def test_scaled_for_people(value: float, cost: str, text: str) -> None:
    assert scaled(value, cost) == text


@examples(300)
@given(
    st.one_of(
        st.text(max_size=30),
        st.from_regex(r"[+-]?[0-9]{0,5}\.?[0-9]{0,5}(e[0-9]+)?(K|M|G|params|Mparams|us|ms|s|S)?"),
        st.builds(lambda n, unit: "9" * n + unit, st.integers(1, 100_000), st.sampled_from("Ms")),
    )
)
def test_property_budgets(text: str) -> None:
    """Refused in one line with the forms, or a limit that prints back."""
    try:
        budget = Budget.parse(text)
    except ValueError as error:
        assert re.fullmatch(r"a budget must be FLOPs such as 146M.*; got .*", str(error))
        assert len(str(error)) < 250
    else:
        assert 0 < budget.limit < float("inf")
        assert Budget.parse(str(budget)) == budget
