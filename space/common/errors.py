"""The two errors of our own; a bad value is a ValueError and a bad type a TypeError."""


class InfeasibleError(Exception):
    """No architecture meets the budget. The message says how many were tried and how near the
    best came."""


class MissingOpError(LookupError):
    """A latency table has no entry for a block or op. The message names it and its nearest known
    neighbours; a sum that lacks it is never returned."""
