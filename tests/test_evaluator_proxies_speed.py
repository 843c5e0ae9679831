"""No training-free score is slower than its reference. `pytest -s -m slow` prints the ratios."""

import time

import pytest
from proxy_references import REFERENCES

from evaluator.proxies import PROXIES, random_input
from evaluator.rebuilt import nats_sss

ROUNDS = 5
COUNTS = ("params", "flops")


def processor_seconds(function, *arguments):
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PROXIES if name not in COUNTS])
def test_no_slower_than_its_reference(name):
    """The least of five interleaved rounds each, in processor time, after one to warm up."""
    module, x = nats_sss([24, 40, 32, 56, 48]), random_input(size=32, batch=16)
    rounds = [
        (
            processor_seconds(PROXIES[name].function, module, x),
            processor_seconds(REFERENCES[name], module, x),
        )
        for _ in range(ROUNDS + 1)
    ][1:]
    ours, theirs = (min(column) for column in zip(*rounds, strict=True))
    print(
        f"{name}: {1e3 * ours:.0f} ms, reference {1e3 * theirs:.0f} ms, ratio {ours / theirs:.2f}"
    )
    assert ours < 1.15 * theirs
