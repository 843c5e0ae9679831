"""LiteRT: the model's file and the engine."""
