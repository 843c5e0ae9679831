"""A session with an engine on another device, through the server that runs on it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from latency.devices.answers import checked_absent, checked_timed, read_answer, read_outputs
from latency.devices.session import Log, Session, Steady, Timed, steady_flags
from latency.devices.transport import MOST_BYTES, Stream, Transport, one_line
from latency.engines.base import Engine, FileEngine, Model
from latency.ondevice.server import model_digest
from space.common.errors import DeviceError, DroppedError
from space.network.block import Chain

TRIES = 6  # to reconnect
BACKOFF_S = 1.0  # before the first try; doubled before each next one
HEARTBEAT_S = 15.0
ANSWER_S = 600.0  # the longest silence: loading a job's models, or one of its rounds
OUTPUT_BYTES = 2**28  # of the answer with a chain's outputs
ADVICE = {
    "full": ": make room there; what was measured is kept, the same command goes on from here",
    "missing": ": install the engine's package there",
}
KNOWN_MODELS = 50_000  # digests in memory, so that a model is not written twice for its digest


class RemoteSession(Session):
    """A file engine on a device that `transport` reaches.

    After a lost connection it reconnects, with TRIES tries, and repeats the interrupted job. The
    device and its engine must be the same as before. OSError, with the reason in one line, if the
    device cannot be used.
    """

    def __init__(
        self, transport: Transport, engine: Engine, *, log: Log = lambda line: None
    ) -> None:
        assert isinstance(engine, FileEngine)  # `open_session` checks it
        self.where = transport.where
        self._transport, self._writer, self._log = transport, engine, log
        self.engine, self.threads, self.dtype = engine.name, engine.threads, engine.dtype
        self._digests: dict[tuple[Chain, int], str] = {}
        self._stream: Stream | None = None
        self._beat: threading.Thread | None = None
        self._stop = threading.Event()
        try:
            hello, opened = self._connect()
        except BaseException:
            self.close()
            raise
        self.chip: str = hello["chip"]
        self.host: str = transport.host or hello["host"]
        self.emulation: str = transport.emulation or hello["emulation"]
        self.engine_version: str = opened["version"]
        self.versions = {
            "python": hello["python"], **opened["versions"], **engine.writer_versions,
        }  # fmt: skip
        self.host_info: dict[str, Any] = {**opened["facts"], "affinity": opened["affinity"]}

    def close(self) -> None:
        stream, self._stream = self._stream, None
        self._stop.set()
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.write(_message({"do": "end"}))
            stream.close()
        if self._beat is not None:
            self._beat.join()
        self._transport.close()

    def time(
        self, chains: Sequence[Chain], *, batch: int = 1, rounds: int = 5, steady: Steady = False
    ) -> Timed:
        return self._retry(lambda: self._time(chains, batch, rounds, steady))

    def outputs(self, chain: Chain, *, batch: int = 1) -> list[Any]:
        def ask() -> list[Any]:
            (digest,) = self._push([chain], batch)
            self._send({"do": "outputs", "model": digest})
            answer = self._answer("outputs", most_bytes=OUTPUT_BYTES)
            with self._refusing():
                return read_outputs(answer["outputs"], batch, self.where)

        return self._retry(ask)

    def _time(self, chains: Sequence[Chain], batch: int, rounds: int, steady: Steady) -> Timed:
        digests = self._push(chains, batch)
        self._send({"do": "time", "models": digests, "rounds": rounds,
                    "steady": steady_flags(steady, chains)})  # fmt: skip
        times: list[list[float]] = []
        for _ in range(rounds):
            answer = self._answer("times", count=len(chains))
            times.append(answer["times"])
        spent = self._answer("timed")["timed"]
        with self._refusing():
            checked_timed(spent, self.where)
        return Timed(times=np.array(times, dtype=np.float64).T, **spent)

    def _push(self, chains: Sequence[Chain], batch: int) -> list[str]:
        """Bring the chains' models to the device; return their digests."""
        written: dict[Chain, Model] = {}
        digests = []
        for chain in chains:
            if (chain, batch) not in self._digests:
                if len(self._digests) >= KNOWN_MODELS:
                    self._digests.clear()
                model = written[chain] = self._writer.write(chain, batch)
                self._digests[chain, batch] = model_digest(dict(model.files), model.shape)
            digests.append(self._digests[chain, batch])
        answer = self._ask({"do": "have", "models": digests}, "absent")
        with self._refusing():
            absent = checked_absent(answer, digests, self.where)
        for chain, digest in zip(chains, digests, strict=True):
            if digest in absent:
                absent.remove(digest)
                model = written.get(chain) or self._writer.write(chain, batch)
                files = [[name, len(data)] for name, data in model.files.items()]
                message = {"do": "model", "digest": digest, "files": files, "shape": model.shape}
                self._send(message, b"".join(model.files.values()))
        return digests

    def _retry(self, job: Callable[[], Any]) -> Any:
        """Do a job; repeat it after a lost connection."""
        while True:
            try:
                return job()
            except DroppedError as error:
                self._reconnect(error)

    def _reconnect(self, error: Exception) -> None:
        for number in range(TRIES):
            wait_s = BACKOFF_S * 2**number
            self._log(f"{error}; try {number + 1} of {TRIES} in {wait_s:.0f} s")
            time.sleep(wait_s)
            try:
                hello, opened = self._connect()
            except DroppedError as problem:
                error = problem
                continue
            here = (hello["chip"], self._transport.host or hello["host"], opened["version"])
            if here != (self.chip, self.host, self.engine_version):
                raise OSError(
                    f"{self.where} was {self.chip} with {self.engine} {self.engine_version} and "
                    f"is now another device, {here[0]} with {here[2]}: connect the first one again"
                )
            return
        raise ConnectionError(
            f"{error}; gave up after {TRIES} tries: what was measured is kept, the same command "
            "goes on from here"
        )

    def _connect(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start a server and open the engine in it; return both answers."""
        from latency.devices.wheels import engine_wheels

        if self._stream is not None:
            self._stream.close()
        self._stream = self._transport.start()
        hello = self._answer("hello")
        if self._beat is None:
            self._beat = threading.Thread(target=self._heartbeat, daemon=True)
            self._beat.start()
        request = {"do": "open", "engine": self.engine, "threads": self.threads,
                   "dtype": self.dtype}  # fmt: skip
        self._send(request)
        answer = self._answer("opened", missing=True)
        if answer.get("kind") == "missing":
            digest, data, size = engine_wheels(self.engine, hello, self.where, log=self._log)
            request["wheels"] = digest
            self._send(request)
            answer = self._answer("opened", missing=True)
            if answer.get("kind") == "missing":
                if size > hello["free_bytes"]:
                    raise OSError(
                        f"{self.where} is full: {self.engine} needs {size >> 20} MiB there, "
                        f"{max(hello['free_bytes'], 0) >> 20} MiB are free"
                    )
                self._log(f"pushing {self.engine} to {self.where} ({len(data) >> 20} MiB)")
                self._ask({"do": "wheels", "digest": digest}, "stored", data)
                self._send(request)
                answer = self._answer("opened")
        return hello, answer["opened"]

    def _ask(self, message: dict[str, Any], name: str, data: bytes | None = None) -> Any:
        """Send a message; the field `name` of the answer."""
        self._send(message, data)
        return self._answer(name)[name]

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        """End the server if its answer is refused: what it sends next is unknown."""
        try:
            yield
        except DeviceError:
            stream, self._stream = self._stream, None
            if stream is not None:
                stream.close()
            raise

    def _send(self, message: dict[str, Any], data: bytes | None = None) -> None:
        if data is not None:
            message = {**message, "bytes": len(data)}
        self._open_stream().write(_message(message) + (data or b""))

    def _answer(
        self, name: str, *, count: int = 0, most_bytes: int = MOST_BYTES, missing: bool = False
    ) -> dict[str, Any]:
        """The next answer, which must have the field `name`.

        Args:
            count: how many `times` it must have.
            missing: return also the error that an engine's package is missing.
        """
        with self._refusing():
            line = self._open_stream().readline(ANSWER_S, most_bytes)
            answer = read_answer(line, self.where, name, count=count)
        if "error" in answer and not (missing and answer["kind"] == "missing"):
            kind, text = answer["kind"], f"{self.where}: {one_line(answer['error'])}"
            if kind == "busy":  # perhaps our own last server, which is about to end
                raise DroppedError(text)
            raise OSError(text + ADVICE.get(kind, ""))
        return answer

    def _open_stream(self) -> Stream:
        if self._stream is None:
            raise DeviceError(f"{self.where}: its worker was ended: open a new session")
        return self._stream

    def _heartbeat(self) -> None:
        """Send signs of life: a server does not always notice a lost connection."""
        while not self._stop.wait(HEARTBEAT_S):
            stream = self._stream
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.write(b"\n")


def _message(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"
