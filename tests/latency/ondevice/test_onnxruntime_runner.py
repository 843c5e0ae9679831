"""How ONNX Runtime is asked to run models that are timed one after the other."""

from __future__ import annotations

import pytest

from latency.ondevice.runners.onnxruntime import session_options


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_workers_of_idle_models_leave_the_cores(threads: int) -> None:
    """A worker may spin during a run of its own model alone."""
    options = session_options(threads)
    assert options.intra_op_num_threads == threads
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
    spins = options.get_session_config_entry("session.intra_op.allow_spinning")
    assert spins == ("1" if threads > 1 else "0")


@pytest.mark.slow
def test_idle_models_of_two_threads_take_no_time_from_the_one_that_is_timed() -> None:
    """Twelve loaded against one: it had been 2 to 4 times as slow beside the others."""
    import os

    import numpy as np

    from latency.devices.open import open_session
    from space.zoo.families import shufflenet_v2

    if (os.cpu_count() or 1) < 2:
        pytest.skip("needs two processors")
    networks = [shufflenet_v2(size) for size in ("0.5", "1.0", "1.5", "2.0")]
    chains = [network.blocks[:n] for network in networks for n in (10, 14, 18)]
    with open_session("cpu", "onnxruntime", threads=2) as session:
        together = np.median(session.time(chains, rounds=8, steady=True).times, axis=1)
        alone = np.array(
            [np.median(session.time([c], rounds=8, steady=True).times) for c in chains]
        )
    assert np.median(together / alone) < 1.8
