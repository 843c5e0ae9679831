"""The contract of sessions, for the tests of whoever adds a way to reach a device.

    class TestMyDevice(SessionContract):
        def open_session(self, threads=1):
            return RemoteSession(MyTransport(), get_engine("null", threads=threads, here=False))

Run it with pytest, which collects the inherited tests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from latency.devices.session import Session
from latency.engines.null import RUN_S, block_s
from space.network.block import Block, Chain
from space.zoo.families import shufflenet_v2

UNIT = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)
CHAINS: tuple[Chain, ...] = ((UNIT,), (UNIT, UNIT), shufflenet_v2("0.5", 64, 64).blocks)


class SessionContract(ABC):
    """What every session does, shown with the engine null, whose times are exact."""

    @abstractmethod
    def open_session(self, threads: int = 1) -> Session:
        """A session with the engine null, float32."""

    def test_identifies_itself(self) -> None:
        with self.open_session(threads=2) as session:
            assert (session.engine, session.engine_version) == ("null", "1")
            assert (session.threads, session.dtype) == (2, "float32")
            assert session.where and session.chip and session.host
            assert session.host_info["machine"] and isinstance(session.emulation, str)
            assert all(isinstance(version, str) for version in session.versions.values())

    def test_times_are_the_engines(self) -> None:
        with self.open_session(threads=2) as session:
            timed = session.time(CHAINS, batch=3, rounds=4)
        works = [3 * sum(map(block_s, chain)) / 2 for chain in CHAINS]
        np.testing.assert_allclose(timed.times, [[RUN_S + work] * 4 for work in works])
        assert timed.wall_s >= timed.prepare_s >= 0 and timed.processor_s >= 0

    def test_job_after_job(self) -> None:
        with self.open_session() as session:
            for count in (1, 2, 1):
                times = session.time([(UNIT,) * count], rounds=1, steady=True).times
                np.testing.assert_allclose(times, [[RUN_S + count * block_s(UNIT)]])

    def test_one_chain_twice_in_a_job(self) -> None:
        with self.open_session() as session:
            first, second = session.time([(UNIT,), (UNIT,)], rounds=1, steady=[True, False]).times
        np.testing.assert_allclose(first, second)
