"""Which units networks are made of, and how each is lowered. Importing it registers them all."""

from space.graph.builder import unit_kinds
from space.units import basic, classic, ghost, mobile, residual, shufflenet

__all__ = ["basic", "classic", "ghost", "mobile", "residual", "shufflenet", "unit_kinds"]
