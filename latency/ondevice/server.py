"""The server on a device: reads jobs from stdin and writes times to stdout, line by line.

    python3 g4nas-worker-DIGEST.pyz FOLDER        FOLDER holds engine packages between runs

Messages are JSON objects, one a line; a message with `bytes` is followed by that many bytes. An
empty line is a sign of life. When stdin ends, or is silent for SILENCE_S seconds, this process
removes its temporary files and ends at once. Models stay in memory; when that is full, the least
recently used are dropped.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import importlib
import io
import json
import math
import platform
import shutil
import sys
import tempfile
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from latency.ondevice import checks, host
from latency.ondevice.checks import line
from latency.ondevice.timing import time_rounds

PROTOCOL = 2
SPARE_BYTES = 64 * 2**20  # of the device's disk that is left free
MOST_THREADS, MOST_ROUNDS = 1024, 100_000
MOST_INPUT = 2**31  # values


class RefusedError(Exception):
    """A request that cannot be done; `kind` is for programs, the text for people."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Server:
    """Handles messages one after the other; `send` writes an answer."""

    def __init__(self, folder: Path, send: Callable[[dict[str, Any]], None]) -> None:
        self.folder, self.send = folder, send
        self.runner: Any = None
        self.models: OrderedDict[str, tuple[dict[str, bytes], tuple[int, ...]]] = OrderedDict()
        self.needed: dict[str, None] = {}  # models of the next job
        self.budget = min(2**30, (host.available_bytes() or 2**30) // 4)
        self.actions: dict[Any, Callable[[dict[str, Any]], None]] = {
            "open": self._open,
            "wheels": self._wheels,
            "have": self._have,
            "model": self._model,
            "time": self._time,
            "outputs": self._outputs,
        }

    def handle(self, message: dict[str, Any]) -> None:
        """Do what a message asks; answer with an error if that fails."""
        try:
            name = message.get("do")
            action = self.actions.get(name) if isinstance(name, str) else None
            if action is None:
                known = ", ".join(self.actions)
                problem = message.get("problem") or f"`do` must be one of {known}, end"
                raise RefusedError("message", problem)
            action(message)
        except RefusedError as error:
            self.send({"error": line(str(error)), "kind": error.kind})
        except MemoryError:
            self.send({"error": "out of memory", "kind": "full"})
        except Exception as error:
            full = isinstance(error, OSError) and error.errno == errno.ENOSPC
            wrong = isinstance(error, (KeyError, TypeError, ValueError))
            kind = "message" if wrong else "full" if full else "failed"
            self.send({"error": f"{type(error).__name__}: {line(str(error))}", "kind": kind})

    def hello(self) -> dict[str, Any]:
        """The first message: this device."""
        libc, version = platform.libc_ver()
        if not libc and any(Path("/lib").glob("ld-musl-*")):
            libc = "musl"
        return {
            "hello": PROTOCOL,
            "chip": host.chip(),
            "host": host.host_id(),
            "facts": host.host_info(),
            "state": host.state(),
            "emulation": host.emulation(),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "system": line(platform.system(), 60),
            "libc": [line(libc, 60), line(version, 60)],
            "free_bytes": self._free(),
        }

    def _free(self) -> int:
        return shutil.disk_usage(self.folder).free - SPARE_BYTES

    def _open(self, message: dict[str, Any]) -> None:
        engine, dtype = checks.word(message, "engine"), checks.word(message, "dtype")
        threads = checks.integer(message, "threads", 1, MOST_THREADS)
        if message.get("wheels"):
            path = self._site(checks.digest_of(message["wheels"]))
            if not path.is_dir():
                raise RefusedError("missing", f"no wheels {path.name}")
            sys.path.insert(1, str(path))
            importlib.invalidate_caches()
        pinned = host.pin(threads)
        try:
            module = importlib.import_module(f"latency.ondevice.runners.{engine}")
            self.runner = module.open_runner(threads, dtype)
        except ImportError as error:
            raise RefusedError("missing", line(str(error))) from error
        versions = {line(k, 60): line(v, 2000) for k, v in self.runner.versions.items()}
        opened = {"version": line(str(self.runner.version), 60), "versions": versions}
        self.send({"opened": {**opened, "affinity": pinned, "facts": host.host_info()}})

    def _site(self, digest: str) -> Path:
        return self.folder / "wheels" / digest

    def _wheels(self, message: dict[str, Any]) -> None:
        digest, data = checks.digest_of(message.get("digest")), checks.content(message)
        path = self._site(digest)
        if hashlib.sha256(data).hexdigest() != digest:
            raise RefusedError("message", "the wheels do not match their digest")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            needed = sum(entry.file_size for entry in archive.infolist())
            if needed > self._free():
                free = f"{max(self._free(), 0) >> 20} MiB are free"
                raise RefusedError("full", f"needs {needed >> 20} MiB in {self.folder}, {free}")
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=".new-"))
            try:
                archive.extractall(temporary)
                if not path.is_dir():
                    temporary.rename(path)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        self.send({"stored": digest})

    def _have(self, message: dict[str, Any]) -> None:
        self.needed = dict.fromkeys(map(checks.digest_of, checks.items(message, "models")))
        for name in filter(self.models.__contains__, self.needed):
            self.models.move_to_end(name)
        self.send({"absent": [name for name in self.needed if name not in self.models]})

    def _model(self, message: dict[str, Any]) -> None:
        """Store a model. There is no answer, so that many can follow each other; a job reports
        missing ones."""
        files, digest = checks.files_of(message), checks.digest_of(message.get("digest"))
        shape = tuple(checks.items(message, "shape", 4))
        if not all(type(n) is int and n > 0 for n in shape) or math.prod(shape) > MOST_INPUT:
            raise RefusedError("message", f"`shape` must be of an input; got {shape}")
        if model_digest(files, shape) != digest:
            raise RefusedError("message", "a model does not match its digest")
        self.models[digest] = files, shape
        sizes = {name: sum(map(len, files.values())) for name, (files, _) in self.models.items()}
        excess = sum(sizes.values()) - self.budget
        for name in [name for name in self.models if name not in self.needed]:
            if excess <= 0:
                break
            del self.models[name]
            excess -= sizes[name]

    def _load(self, names: list[str]) -> list[Any]:
        if self.runner is None:
            raise RefusedError("message", "`open` must come before a job")
        absent = [name for name in names if name not in self.models]
        if absent:
            raise RefusedError("absent", f"{len(absent)} models are missing")
        loaded = {name: self.runner.load(*self.models[name]) for name in dict.fromkeys(names)}
        return [loaded[name] for name in names]

    def _time(self, message: dict[str, Any]) -> None:
        rounds = checks.integer(message, "rounds", 1, MOST_ROUNDS)
        models = list(map(checks.digest_of, checks.items(message, "models")))
        steady = checks.items(message, "steady")
        if len(steady) != len(models) or not all(isinstance(one, bool) for one in steady):
            raise RefusedError("message", "`steady` must have true or false per model")
        started, processor = time.monotonic(), time.process_time()
        runs = self._load(models)
        prepare_s = time.monotonic() - started
        for times in time_rounds(runs, self.runner, self.runner.clock, rounds, steady):
            self.send({"times": times})
        wall_s, processor_s = time.monotonic() - started, time.process_time() - processor
        self.send({"timed": {"wall_s": wall_s, "processor_s": processor_s, "prepare_s": prepare_s,
                             "state": host.state()}})  # fmt: skip

    def _outputs(self, message: dict[str, Any]) -> None:
        (run,) = self._load([checks.digest_of(message.get("model"))])
        run.run()
        found = [(v.shape, v.astype("float32").tobytes()) for v in run.outputs()]
        outputs = [{"shape": s, "float32": base64.b64encode(v).decode()} for s, v in found]
        self.send({"outputs": outputs})


def model_digest(files: dict[str, bytes], shape: tuple[int, ...]) -> str:
    """SHA-256 of a model's files and input shape, in hexadecimal."""
    found = hashlib.sha256(json.dumps([list(shape), *files]).encode())
    for data in files.values():
        found.update(hashlib.sha256(data).digest())
    return found.hexdigest()
