"""A row of the measured benchmark, for tests to change."""

from evaluator.measured_benchmark.rows import TrainingRow

ROW = TrainingRow(
    name="a",
    group="band 1",
    architecture="x",
    recipe="short",
    seed=0,
    accuracy=50.25,
    validation=49.75,
    loss=1.5,
    flops=100,
    params=10,
    flops_224=1000,
    cpu_s=1.5,
    seconds=2.0,
    torch="2.0",
    commit="abc",
    date="2026-01-01T00:00:00+00:00",
)
