"""Every known network, by name."""

from __future__ import annotations

from space.zoo import entries
from space.zoo.entry import PublishedNetwork, registered


def published_networks() -> dict[str, PublishedNetwork]:
    """Every known network by name, in the order of the paper's tables."""
    assert entries  # importing it registers them
    return registered()


def published_network(name: str) -> PublishedNetwork:
    """The network of this name.

    Raises:
        ValueError: there is none; the message lists the known ones.
    """
    known = published_networks()
    if name not in known:
        raise ValueError(f"unknown network {name!r}: known ones are {', '.join(known)}")
    return known[name]
