"""How well a score ranks publicly trained networks."""

DATASETS = ("nats-sss", "accel-nasbench")
"""Names of the public tables that `evaluator.benchmarks.public_tables` reads."""
