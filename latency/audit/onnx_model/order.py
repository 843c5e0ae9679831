"""The order in which the nodes of an ONNX graph can run, and the names that a graph reads."""

from __future__ import annotations

import heapq
from collections.abc import Container
from typing import Any

from space.common.text import shorten


def subgraphs(node: Any) -> list[Any]:
    """The graphs in a node's attributes: the branches of an If, the body of a Loop or Scan."""
    found = []
    for attribute in node.attribute:
        found += [attribute.g] if attribute.HasField("g") else []
        found += attribute.graphs
    return found


def stored_names(graph: Any) -> list[str]:
    """The names of a graph's stored tensors, dense and sparse."""
    return [t.name for t in graph.initializer] + [t.values.name for t in graph.sparse_initializer]


def captured(node: Any) -> list[str]:
    """The outer values that the graphs in a node's attributes read, in order, once each."""
    found: dict[str, None] = {}
    for graph in subgraphs(node):
        own = {i.name for i in graph.input} | set(stored_names(graph))
        own |= {name for inner in graph.node for name in inner.output}
        for inner in graph.node:
            found.update(dict.fromkeys(n for n in reads(inner) if n not in own))
        found.update(dict.fromkeys(o.name for o in graph.output if o.name not in own))
    return list(found)


def reads(node: Any) -> list[str]:
    """The names that a node reads, those of its subgraphs included."""
    return [name for name in node.input if name] + captured(node)


def label(node: Any) -> str:
    """A node in a message."""
    name = node.name or next((name for name in node.output if name), "")
    return " ".join(filter(None, (shorten(node.op_type)[1:-1], shorten(name)[1:-1])))


def in_order(graph: Any, outer: Container[str]) -> list[Any]:
    """The nodes of a graph, each after those that it reads; otherwise as in the file.

    Args:
        graph: a GraphProto.
        outer: names that are known outside of the graph.

    Raises:
        ValueError: a value is made twice or not at all, or a node reads what follows from it.
    """
    given = [i.name for i in graph.input]
    stored = stored_names(graph)
    maker: dict[str, int] = dict.fromkeys((*given, *stored), -1)
    _check_once(given)
    _check_once(stored)
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in maker:
                raise ValueError(f"value {shorten(name)} is made twice, by {label(node)} too")
            maker[name] = index
    waits: list[set[int]] = []
    readers: list[list[int]] = [[] for _ in graph.node]
    for index, node in enumerate(graph.node):
        before = set()
        for name in reads(node):
            if name not in maker and name not in outer:
                raise ValueError(f"{label(node)} reads {shorten(name)}, which nothing makes")
            before.add(maker.get(name, -1))
        waits.append(before - {-1})
        for other in waits[-1]:
            readers[other].append(index)
    ready = [index for index, before in enumerate(waits) if not before]
    found = []
    while ready:
        index = heapq.heappop(ready)
        found.append(graph.node[index])
        for other in readers[index]:
            waits[other].discard(index)
            if not waits[other]:
                heapq.heappush(ready, other)
    if len(found) < len(graph.node):
        stuck = next(node for node, before in zip(graph.node, waits, strict=True) if before)
        raise ValueError(f"the graph has a cycle in or before {label(stuck)}")
    for output in graph.output:
        if output.name not in maker and output.name not in outer:
            raise ValueError(f"output {shorten(output.name)} is made by nothing")
    return found


def _check_once(names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"value {shorten(name)} is declared twice")
        seen.add(name)
