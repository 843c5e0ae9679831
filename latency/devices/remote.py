"""A session with an engine on another device, through the server that runs there."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from latency.devices.session import Log, Steady, Timed, steady_flags
from latency.devices.transport import Stream, Transport
from latency.engines.base import Engine, FileEngine, Model
from latency.ondevice.server import PROTOCOL, model_digest
from space.common.errors import DroppedError
from space.network.block import Chain

TRIES = 6  # to reconnect
BACKOFF_S = 1.0  # before the first try; doubled before each next one
HEARTBEAT_S = 15.0
ANSWER_S = 600.0  # the longest silence: loading a job's models, or one of its rounds
ADVICE = {
    "full": ": make room there; what was measured is kept, the same command goes on from here",
    "missing": ": install the engine's package there",
}
KNOWN_MODELS = 50_000  # digests in memory, so that a model is not written again for its digest


class RemoteSession:
    """A file engine on a device that `transport` reaches.

    After a lost connection it reconnects, with TRIES tries, and repeats the interrupted job. The
    device and its engine must be the same as before.

    Raises:
        ValueError: the engine has no files to push, or cannot run on that device.
        ImportError: a package that writes models is missing here.
        OSError: the device cannot be used; one line says why.
    """

    def __init__(
        self,
        transport: Transport,
        engine: Engine,
        *,
        log: Log = lambda line: None,
    ) -> None:
        self.where = transport.where
        if not isinstance(engine, FileEngine):
            raise ValueError(
                f"engine {engine.name} runs on this machine alone: {self.where} needs one whose "
                "models are files (onnxruntime, ncnn, ...)"
            )
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
        python = {"python": hello["python"]}
        self.versions = {**python, **opened["versions"], **engine.writer_versions}
        self.host_info: dict[str, Any] = {**opened["facts"], "affinity": opened["affinity"]}

    def __enter__(self) -> RemoteSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        """Outputs of the chain for the engine's fixed input, float32."""

        def ask() -> list[Any]:
            (digest,) = self._push([chain], batch)
            found = self._ask({"do": "outputs", "model": digest}, "outputs")
            return [
                np.frombuffer(base64.b64decode(v["float32"]), "<f4").reshape(v["shape"])
                for v in found
            ]

        return self._retry(ask)

    def _time(self, chains: Sequence[Chain], batch: int, rounds: int, steady: Steady) -> Timed:
        digests = self._push(chains, batch)
        self._send({"do": "time", "models": digests, "rounds": rounds,
                    "steady": steady_flags(steady, chains)})  # fmt: skip
        times: list[list[float]] = []
        for answer in self._answers():
            if "times" in answer:
                times.append(answer["times"])
            elif "timed" in answer:
                break
            else:
                raise OSError(f"{self.where}: the worker answered {str(answer)[:100]}")
        found = np.array(times, dtype=np.float64)
        if found.shape != (rounds, len(chains)) or not (found >= 0).all():
            raise OSError(f"{self.where}: got times {found.shape} of {(rounds, len(chains))}")
        spent = answer["timed"]
        return Timed(
            found.T, spent["wall_s"], spent["processor_s"], spent["prepare_s"], spent["state"]
        )

    def _push(self, chains: Sequence[Chain], batch: int) -> list[str]:
        """Bring the chains' models to the device; return their digests."""
        written: dict[str, Model] = {}

        def write(chain: Chain) -> str:
            model = self._writer.write(chain, batch)
            digest = model_digest(dict(model.files), model.shape)
            written[digest] = model
            return digest

        digests = []
        for chain in chains:
            if (chain, batch) not in self._digests:
                if len(self._digests) >= KNOWN_MODELS:
                    self._digests.clear()
                self._digests[chain, batch] = write(chain)
            digests.append(self._digests[chain, batch])
        absent = set(self._ask({"do": "have", "models": digests}, "absent"))
        for chain, digest in zip(chains, digests, strict=True):
            if digest in absent:
                absent.remove(digest)
                if digest not in written:
                    write(chain)
                model = written.pop(digest)
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
        hello = next(self._answers())
        if hello.get("hello") != PROTOCOL:
            raise OSError(f"{self.where}: the worker answered {str(hello)[:100]}")
        if self._beat is None:
            self._beat = threading.Thread(target=self._heartbeat, daemon=True)
            self._beat.start()
        request = {
            "do": "open",
            "engine": self.engine,
            "threads": self.threads,
            "dtype": self.dtype,
        }
        self._send(request)
        answer = next(self._answers(raw=True))
        if answer.get("kind") == "missing":
            digest, data, size = engine_wheels(self.engine, hello, self.where, log=self._log)
            self._send({**request, "wheels": digest})
            answer = next(self._answers(raw=True))
            if answer.get("kind") == "missing":
                if size > hello["free_bytes"]:
                    raise OSError(
                        f"{self.where} is full: {self.engine} needs {size >> 20} MiB there, "
                        f"{max(hello['free_bytes'], 0) >> 20} MiB are free"
                    )
                self._log(f"pushing {self.engine} to {self.where} ({len(data) >> 20} MiB)")
                self._ask({"do": "wheels", "digest": digest}, "stored", data)
                self._send({**request, "wheels": digest})
                answer = next(self._answers())
        self._check(answer)
        return hello, answer["opened"]

    def _ask(self, message: dict[str, Any], name: str, data: bytes | None = None) -> Any:
        self._send(message, data)
        answer = next(self._answers())
        if name not in answer:
            raise OSError(f"{self.where}: the worker answered {str(answer)[:100]}")
        return answer[name]

    def _send(self, message: dict[str, Any], data: bytes | None = None) -> None:
        assert self._stream is not None
        if data is not None:
            message = {**message, "bytes": len(data)}
        self._stream.write(_message(message) + (data or b""))

    def _answers(self, raw: bool = False) -> Iterator[dict[str, Any]]:
        assert self._stream is not None
        while True:
            line = self._stream.readline(ANSWER_S)
            try:
                answer = json.loads(line)
                if not isinstance(answer, dict):
                    raise ValueError("not an object")
            except ValueError:
                text = line[:100].decode(errors="replace").strip()
                raise OSError(f"{self.where}: not a worker's answer: {text!r}") from None
            if not raw:
                self._check(answer)
            yield answer

    def _check(self, answer: dict[str, Any]) -> None:
        if "error" in answer:
            advice = ADVICE.get(answer.get("kind", ""), "")
            if answer.get("kind") == "busy":  # perhaps our own last server, which is about to end
                raise DroppedError(f"{self.where}: {answer['error']}")
            raise OSError(f"{self.where}: {answer['error']}{advice}")

    def _heartbeat(self) -> None:
        """Send signs of life: a server does not always notice a lost connection."""
        while not self._stop.wait(HEARTBEAT_S):
            stream = self._stream
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.write(b"\n")


def _message(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"
