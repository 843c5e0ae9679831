"""Runners of models: one file per engine, named as in `latency.engines`, and what they share."""
