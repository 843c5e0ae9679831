"""The device's end: what it answers to anything, and that it never outlives its client."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from latency.devices.archive import FOLDER, server_archive, zip_bytes
from latency.ondevice import main, server

NO_DIGEST = b"0" * 64
MODEL = b'{"do": "model", "digest": "' + NO_DIGEST + b'", '
ROOMS = {"space", "latency", "evaluator", "search"}
# A runner whose runs take as long as its model says; with "hold" the interpreter's lock is kept.
SLOW = """
import ctypes, os, time
class Run:
    def __init__(self, files): self.model = files["m"].decode()
    def run(self):
        if self.model == "hold": ctypes.PyDLL(None).usleep(300000)
        elif self.model == "die": os.kill(os.getpid(), 9)
        elif self.model == "fail": raise RuntimeError("no kernel\\nfor this")
        else: time.sleep(float(self.model))
class Runner:
    version, versions = "1", {}
    def load(self, files, shape): print("noise of an engine"); return Run(files)
    def evict(self): pass
    def clock(self): return time.perf_counter()
def open_runner(threads, dtype):
    import tempfile; open(tempfile.mkstemp()[1], "w").write("left")
    return Runner()
"""


class Client:
    """A client of a server, byte by byte."""

    def __init__(self, folder: Path, **env: str) -> None:
        name, data = server_archive()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        path = folder / name
        path.write_bytes(zip_bytes({**files, "latency/ondevice/runners/slow.py": SLOW.encode()}))
        self.folder = folder / "kept"
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(path), str(self.folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
            env={**os.environ, **env},
        )  # fmt: skip
        self.buffer = b""

    def raw(self, data: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(data)

    def send(self, message: Any, data: bytes | None = None) -> None:
        if data is not None:
            message = {**message, "bytes": len(data)}
        self.raw(json.dumps(message).encode() + b"\n" + (data or b""))

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], 30)
            data = os.read(self.process.stdout.fileno(), 2**16) if ready else b""
            assert data, "no answer"
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, message: Any, data: bytes | None = None) -> dict[str, Any]:
        self.send(message, data)
        return self.answer()

    def model(self, text: str) -> str:
        files = {"m": text.encode()}
        digest = server.model_digest(files, (1,))
        self.send({"do": "model", "digest": digest, "files": [["m", len(text)]], "shape": [1]},
                  text.encode())  # fmt: skip
        return digest

    def open_slow(self) -> None:
        assert "opened" in self.ask({"do": "open", "engine": "slow", "threads": 1, "dtype": "f"})

    def runs(self) -> list[Path]:
        return list(self.folder.glob("run-*"))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe
            pipe.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Client]]:
    clients = []

    def started(**env: str) -> Client:
        clients.append(Client(tmp_path, **env))
        return clients[-1]

    yield started
    for client in clients:
        client.close()


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server that several tests use."""
    found = Client(tmp_path_factory.mktemp("server"))
    assert found.answer()["hello"] == server.PROTOCOL
    yield found
    found.close()


@pytest.fixture
def client(start: Callable[..., Client]) -> Client:
    found = start()
    assert found.answer()["hello"] == server.PROTOCOL
    return found


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"what\n", "not JSON"),
        (b"[1]\n", "must be an object"),
        (b"{}\n", "`do` must be one of open, wheels, have, model, time, outputs, end"),
        (b'{"do": "os.system"}\n', "`do` must be one of"),
        (b'{"do": ["open"]}\n', "`do` must be one of"),
        (b'{"do": "problem", "problem": "mine"}\n', "must be an object with `do`"),
        (b'{"do": "open"}\n', "`engine` must be a text"),
        (b'{"do": "open", "engine": "../x", "threads": 1, "dtype": "f"}\n', "`engine` must be"),
        (b'{"do": "open", "engine": "null", "threads": 0, "dtype": "f"}\n', "`threads` must be"),
        (b'{"do": "open", "engine": "null", "threads": 9e9, "dtype": "f"}\n', "`threads` must be"),
        (b'{"do": "open", "engine": "null", "threads": true, "dtype": "f"}\n', "`threads` must"),
        (b'{"do": "open", "engine": "null", "threads": 1, "dtype": ["f"]}\n', "`dtype` must be"),
        (b'{"do": "open", "engine": "gone", "threads": 1, "dtype": "f"}\n', "No module named"),
        (b'{"do": "open", "engine": "null", "threads": 1, "dtype": "f", "wheels": "../../etc"}\n',
         "64 hexadecimal digits"),
        (b'{"do": "wheels", "digest": "' + NO_DIGEST + b'", "bytes": 1}\nx', "do not match"),
        (b'{"do": "wheels", "digest": "' + NO_DIGEST + b'"}\n', "`bytes` must be the number"),
        (MODEL + b'"files": [["m", 1]], "shape": [1], "bytes": 1}\nx', "does not match its"),
        (MODEL + b'"files": [["m", 2]], "shape": [1], "bytes": 1}\nx', "must be names and sizes"),
        (MODEL + b'"files": [["m", -1]], "shape": [1], "bytes": 1}\nx', "must be names and sizes"),
        (MODEL + b'"files": [["../m", 1]], "shape": [1], "bytes": 1}\nx', "names and sizes"),
        (MODEL + b'"files": [], "shape": [1], "bytes": 1}\nx', "must be all that follows"),
        (MODEL + b'"files": [], "shape": [-1], "bytes": 0}\n', "`shape` must be of an input"),
        (MODEL + b'"files": [], "shape": [65536, 65536], "bytes": 0}\n', "`shape` must be of an"),
        (b'{"do": "have", "models": "abc"}\n', "`models` must be a list"),
        (b'{"do": "have", "models": ["abc"]}\n', "64 hexadecimal digits"),
        (b'{"do": "time", "models": [], "rounds": 0, "steady": []}\n', "`rounds` must be"),
        (b'{"do": "time", "models": [], "rounds": 1, "steady": [1]}\n', "`steady` must have"),
        (b'{"do": "time", "models": [], "rounds": 1, "steady": []}\n', "`open` must come"),
        (b'{"do": "outputs", "model": 7}\n', "64 hexadecimal digits"),
        (b"[" * 100_000 + b"\n", "not JSON"),
        (b'{"do": ' + b"9" * 5000 + b"}\n", "not JSON"),
        (b"\xff\xfe\n", "not JSON"),
    ],
)  # fmt: skip
def test_any_message_gets_a_line_and_the_server_goes_on(
    patient: Client, line: bytes, told: str
) -> None:
    patient.raw(line)
    answer = patient.answer()
    assert told in answer["error"] and "\n" not in answer["error"] and answer["kind"]
    assert patient.ask({"do": "have", "models": []}) == {"absent": []}


@pytest.mark.parametrize("line", [b"x" * (main.MAX_LINE + 2), b'{"do": "model", "bytes": -1}\n'])
def test_where_the_next_message_begins_must_be_known(client: Client, line: bytes) -> None:
    client.raw(line)
    assert client.answer()["kind"] == "message"
    assert client.process.wait(10) == 0 and not client.runs()


def test_a_job(client: Client) -> None:
    client.open_slow()
    digest = client.model("0.001")
    assert client.ask({"do": "have", "models": [digest, "1" * 64]}) == {"absent": ["1" * 64]}
    client.send({"do": "time", "models": [digest, digest], "rounds": 3, "steady": [False] * 2})
    for _ in range(3):
        assert all(0.001 <= t < 0.1 for t in client.answer()["times"])
    spent = client.answer()["timed"]
    assert spent["wall_s"] > 12 * 0.001 > spent["processor_s"] > 0


@pytest.mark.parametrize(
    ("name", "told", "kind"),
    [
        ("fail", "RuntimeError: no kernel for this", "failed"),
        ("0", "1 models are missing", "absent"),
    ],
)
def test_a_job_that_fails(client: Client, name: str, told: str, kind: str) -> None:
    client.open_slow()
    digest = client.model(name) if kind == "failed" else "0" * 64
    found = client.ask({"do": "time", "models": [digest], "rounds": 1, "steady": [True]})
    assert told in found["error"] and found["kind"] == kind
    assert client.ask({"do": "have", "models": []}) == {"absent": []}


@pytest.mark.parametrize("model", [None, "1000", "hold"])
def test_ends_with_its_client_whatever_it_does(client: Client, model: str | None) -> None:
    client.open_slow()
    if model is not None:
        job = {"models": [client.model(model)], "rounds": 99, "steady": [True]}
        client.send({"do": "time", **job})
        time.sleep(0.1)
    assert [p.name[:3] for p in client.runs()[0].iterdir()] == ["tmp"]  # what the engine left
    assert client.process.stdin
    client.process.stdin.close()
    assert client.process.wait(10) == 0
    assert not client.runs()


def test_ends_where_a_client_is_silent(start: Callable[..., Client]) -> None:
    client = start(G4NAS_SILENCE_S="0.3")
    client.answer()
    client.open_slow()
    client.send({"do": "time", "models": [client.model("1000")], "rounds": 9, "steady": [True]})
    for _ in range(5):  # longer than that, with signs of life
        client.raw(b"\n")
        time.sleep(0.1)
    assert client.process.poll() is None
    assert client.process.wait(10) == 0 and not client.runs()


def test_ends_with_a_socket_that_is_reset(tmp_path: Path) -> None:
    """adbd gives a server a socket; one with unread answers is reset when its end is closed."""
    name, data = server_archive()
    (tmp_path / name).write_bytes(data)
    ours = socket.create_server(("127.0.0.1", 0))
    theirs = socket.create_connection(ours.getsockname())
    end, _ = ours.accept()
    command = [sys.executable, "-I", str(tmp_path / name), str(tmp_path / "kept")]
    with ours, theirs, subprocess.Popen(command, stdin=theirs, stdout=theirs) as process:
        theirs.close()
        assert end.recv(1) == b"{"  # the rest of its first line is never read
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.close()
        assert process.wait(10) == 0
    assert not list((tmp_path / "kept").glob("run-*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_cleans_up_when_it_is_told_to_end(client: Client, number: int) -> None:
    client.process.send_signal(number)
    assert client.process.wait(10) == 0 and not client.runs()


def test_one_at_a_time_and_what_a_killed_one_left_is_swept(
    client: Client, start: Callable[..., Client]
) -> None:
    assert start().answer()["kind"] == "busy"
    client.process.kill()
    client.process.wait()
    assert len(client.runs()) == 1
    second = start()
    assert second.answer()["hello"] == server.PROTOCOL
    assert len(second.runs()) == 1


def test_wheels_are_kept_and_used(client: Client, start: Callable[..., Client]) -> None:
    onnxruntime = b"__version__ = 'mine'\nclass OrtValue: pass\n"
    numpy = b"ndarray = float64 = float\ndef frombuffer(data, dtype): return data\n"
    data = zip_bytes({"onnxruntime.py": onnxruntime, "numpy.py": numpy})
    digest = hashlib.sha256(data).hexdigest()
    wish = {"do": "open", "engine": "onnxruntime", "threads": 1, "dtype": "float32"}
    assert client.ask({**wish, "wheels": digest})["kind"] == "missing"
    assert client.ask({"do": "wheels", "digest": digest}, data) == {"stored": digest}
    assert client.ask({**wish, "wheels": digest})["opened"]["version"] == "mine"
    client.send({"do": "end"})
    client.process.wait(10)
    assert sorted(p.name for p in client.folder.iterdir()) == ["lock", "wheels"]
    again = start()
    again.answer()
    assert again.ask({**wish, "wheels": digest})["opened"]["version"] == "mine"


def test_wheels_never_leave_their_folder(client: Client) -> None:
    data = zip_bytes({"../../evil.py": b"", "/tmp/g4nas-evil.py": b""})
    digest = hashlib.sha256(data).hexdigest()
    assert client.ask({"do": "wheels", "digest": digest}, data) == {"stored": digest}
    inside = {p.relative_to(client.folder).parts[0] for p in client.folder.rglob("evil.py")}
    assert inside == {"wheels"} and not Path("/tmp/g4nas-evil.py").exists()


class TestMemory:
    """Models, the least recently used of which are dropped."""

    def made(self, budget: int) -> tuple[server.Server, list[dict[str, Any]]]:
        said: list[dict[str, Any]] = []
        found = server.Server(Path(), said.append)
        found.budget = budget
        return found, said

    def put(self, found: server.Server, letter: bytes) -> str:
        data = letter * 10
        digest = server.model_digest({"m": data}, (1,))
        found.handle({"do": "model", "digest": digest, "files": [["m", 10]], "shape": [1],
                      "data": data})  # fmt: skip
        return digest

    def test_the_oldest_goes(self) -> None:
        found, said = self.made(budget=20)
        a, b = self.put(found, b"a"), self.put(found, b"b")
        found.handle({"do": "have", "models": [a]})
        c = self.put(found, b"c")
        assert set(found.models) == {a, c}
        found.handle({"do": "have", "models": [a, b, c]})
        assert said == [{"absent": []}, {"absent": [b]}]

    def test_what_a_job_needs_stays(self) -> None:
        found, _ = self.made(budget=5)
        names = [server.model_digest({"m": letter * 10}, (1,)) for letter in (b"a", b"b")]
        found.handle({"do": "have", "models": names})
        assert [self.put(found, b"a"), self.put(found, b"b")] == list(found.models)


def test_a_full_device_takes_no_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, Any]] = []
    found = server.Server(tmp_path, said.append)
    monkeypatch.setattr(found, "_free", lambda: 3 * 2**20)
    data = zip_bytes({"a.py": bytes(5 * 2**20)}, compress=True)
    found.handle({"do": "wheels", "digest": hashlib.sha256(data).hexdigest(), "data": data})
    assert said == [
        {"error": f"needs 5 MiB in {tmp_path}, 3 MiB are free", "kind": "full"},
    ]
    assert list(tmp_path.rglob("*")) == [tmp_path / "wheels"] or not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    name, data = server_archive()
    (tmp_path / name).write_bytes(data)
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, str(tmp_path / name), str(tmp_path / "file")],
        stdin=subprocess.DEVNULL, capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["kind"] == "folder"


def imported(tree: ast.AST) -> set[str]:
    """Modules that a file imports, in functions too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_the_archive_is_the_same_each_time_and_self_contained() -> None:
    """The archive holds `ondevice`, an empty `latency` and the start. All of it parses as Python
    3.9; what is no runner imports the standard library and the archive alone."""
    name, data = server_archive()
    server_archive.cache_clear()
    assert server_archive() == (name, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {member: archive.read(member) for member in archive.namelist()}
    assert files["latency/__init__.py"] == b""
    others = {member for member in files if not member.startswith("latency/ondevice/")}
    assert others == {"latency/__init__.py", "__main__.py"}
    trees = {m: ast.parse(text, feature_version=(3, 9)) for m, text in files.items()}
    modules = {m.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for m in files}
    for member, tree in trees.items():
        words = [n.arg for n in ast.walk(tree) if isinstance(n, ast.keyword)]
        assert "strict" not in words, f"{member}: zip(strict=) is of Python 3.10"
        ours = {module for module in imported(tree) if module.partition(".")[0] in ROOMS}
        assert ours <= modules, member
        if "/runners/" not in member:
            other = {module.partition(".")[0] for module in imported(tree)} - {"latency"}
            assert other <= sys.stdlib_module_names, member
        if member.endswith("__init__.py"):
            assert len(tree.body) <= 1 and not imported(tree), member
    assert (FOLDER / "server.py").read_bytes() in data  # stored, not packed: no zlib is needed
