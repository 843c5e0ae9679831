"""No cycle of files or of sub-packages; imports in functions and for types count."""

from __future__ import annotations

from collections.abc import Mapping

from tests.architecture import house
from tests.architecture.house import MODULES, PLAN


def cycles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Strongly connected groups of more than one node, or of a node with an edge to itself.

    Tarjan, Depth-first search and linear graph algorithms, 1972.
    """
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in number:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], number[other])
        if low[node] == number[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1 or node in edges.get(node, ()):
                found.append(sorted(group))

    for node in sorted(edges):
        if node not in number:
            visit(node)
    return found


def test_cycles_are_found() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}, "e": {"a"}}) == [
        ["b", "c"],
        ["d"],
    ]


def test_no_cycle_of_files() -> None:
    edges = {module: set(house.ours(module)) - set(PLAN) for module in MODULES}
    assert cycles(edges) == []


def test_no_cycle_of_sub_packages() -> None:
    edges: dict[str, set[str]] = {}
    for module in MODULES:
        own = house.sub_package(module)
        others = {house.sub_package(other) for other in house.ours(module)} - {own, ""}
        if own:
            edges.setdefault(own, set()).update(others)
    assert len(edges) == sum(len(names.split()) for names in PLAN.values())
    assert cycles(edges) == []
