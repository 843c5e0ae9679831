"""End-to-end latencies measured here, and the tables that are of this machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from latency.engines.null import RUN_S, block_s
from latency.measure.network import is_of_this_machine, measure_networks, table_session
from latency.ondevice import host
from latency.table.load import load_table
from space.zoo.families import shufflenet_v2
from tests.helpers.fake_gpu import use_fake_gpu

NETWORKS = [shufflenet_v2(size) for size in ("0.5", "1.0", "1.5")]


def test_seconds_are_the_engines() -> None:
    """More networks than are timed together, each its own seconds, in their order."""
    many = NETWORKS * 5
    got = measure_networks(many, engine="null", rounds=2)
    expected = [RUN_S + sum(block_s(block) for block in network.blocks) for network in many]
    assert got == pytest.approx(expected)


def test_no_network_is_an_error() -> None:
    with pytest.raises(ValueError, match="must hold at least one network; got none"):
        measure_networks([], engine="null")


def test_an_emulated_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "emulation", lambda: "so it is")
    with pytest.raises(ValueError, match="wall time is not latency"):
        measure_networks(NETWORKS)


def test_which_tables_are_of_this_machine() -> None:
    header = load_table("epyc-milan-ort").header
    here = replace(header, device=host.chip())
    assert is_of_this_machine(here)
    for other in (
        replace(here, device="another chip"),
        replace(here, source="estimated"),
        replace(here, engine="null"),
        replace(here, engine="unknown"),
        load_table("arm").header,
    ):
        assert not is_of_this_machine(other)


def test_a_table_of_the_gpu_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is of this machine where torch uses a GPU of that name, and its session is the GPU's."""
    header = load_table("h200-f16-b8").header
    assert not is_of_this_machine(header)  # the GPU is named as no processor is
    fake = use_fake_gpu(monkeypatch)
    assert not is_of_this_machine(header)
    fake.properties.name = header.device
    assert is_of_this_machine(header)
    assert not is_of_this_machine(replace(header, engine="onnxruntime"))
    with table_session(header) as session:
        assert (session.chip, session.engine, session.dtype) == (
            header.device, "torch-cuda", "float16",
        )  # fmt: skip
    fake.refusal = RuntimeError("no NVIDIA driver")
    assert not is_of_this_machine(header)


@pytest.mark.slow
def test_larger_networks_take_longer_on_this_machine() -> None:
    small, _, large = measure_networks(NETWORKS)
    assert 0 < small < large
