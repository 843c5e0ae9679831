"""What accuracy follows from 20 to 100 labels."""

SOURCES = ("nats-sss", "accel-nasbench", "dynas-ofa")
"""Names of the public tables that a predictor is judged on."""
