"""Which units networks are made of, and how each is lowered. Importing it registers them all."""

from space.graph.builder import unit_kinds
from space.units import basic, classic, shufflenet

__all__ = ["basic", "classic", "shufflenet", "unit_kinds"]
