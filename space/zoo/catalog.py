"""Every known network, by name."""

from __future__ import annotations

from space.zoo import entries
from space.zoo.entry import PublishedNetwork, registered


def published_networks() -> dict[str, PublishedNetwork]:
    """Every known network by name, in the order of the paper's tables.

    Example:
        >>> from space import published_networks
        >>> [name for name in published_networks() if name.startswith("MobileNet v1")]
        ['MobileNet v1 0.25', 'MobileNet v1 0.5', 'MobileNet v1 0.75', 'MobileNet v1 1.0']
    """
    assert entries  # importing it registers them
    return registered()


def published_network(name: str) -> PublishedNetwork:
    """The known network with this name: how to build it, and what was published of it.

    Raises:
        ValueError: no network has this name; the message lists the known ones.

    Example:
        >>> from space import published_network
        >>> known = published_network("ShuffleNet v2 1.0x")
        >>> known.network().flops, known.published_flops, known.source
        (144907992, 146000000, 'v2 paper, Tables 5 and 8')
    """
    known = published_networks()
    if name not in known:
        raise ValueError(f"unknown network {name!r}: known ones are {', '.join(known)}")
    return known[name]
