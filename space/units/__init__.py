"""Which units networks are made of, and how each is lowered. Importing it registers them all."""

from space.units import basic, classic, mobilenet, shufflenet

__all__ = ["basic", "classic", "mobilenet", "shufflenet"]
