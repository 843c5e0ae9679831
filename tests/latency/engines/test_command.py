"""python -m latency.engines: what can run here, and one network on all of it."""

from __future__ import annotations

import json

import pytest

from latency.engines import __main__
from latency.engines.comparison import time_network
from latency.engines.null import RUN_S, block_s
from latency.engines.registry import ENGINES, get_engine
from latency.ondevice import host
from space.network.block import Block

UNIT = Block("shufflenet_v2", 28, 28, c_in=64, c_out=64, branch=32)


@pytest.mark.slow
def test_lists_every_engine_and_dtype(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    listed = [(row["engine"], row["dtype"]) for row in found["engines"]]
    known = [(name, d) for name, e in ENGINES.items() if name != "null" for d in e.dtypes]
    assert listed == known and found["network"] is None
    assert all(("version" in row) != ("missing" in row) for row in found["engines"])


def test_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = ENGINES["onnxruntime"]
    gone = type(entry)("latency.engines.no_such", "no-such-package", ("float32",))
    monkeypatch.setitem(ENGINES, "gone", gone)
    assert __main__.main(["--engines", "gone,null"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[:3] == ["gone", "float32", "not"] and "pip install no-such" in first
    assert second.split() == ["null", "float32", "1"]
    assert __main__.main(["--engines", "gone"]) == 1
    assert capsys.readouterr().err == "latency.engines: none of these engines can run here\n"


def test_times_on_each_engines_own_clock() -> None:
    engines = [get_engine("null", threads=threads) for threads in (1, 2)]
    one, two = time_network([UNIT], engines, batch=3, rounds=4)
    work = 3 * block_s(UNIT)
    assert one["median_s"] == pytest.approx(RUN_S + work) and one["spread"] == pytest.approx(0)
    assert two["median_s"] == pytest.approx(RUN_S + work / 2)
    assert one["prepare_s"] >= 0


@pytest.mark.slow
def test_a_network_on_two_engines(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--engines onnxruntime,torch --rounds 2 --format json --network"
    assert __main__.main([*words.split(), "MobileNet v2 0.15"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["network"] == "MobileNet v2 0.15" and found["chip"]
    assert all(1e-4 < row["median_s"] < 10 for row in found["engines"])
    assert __main__.main([*words.split()[:4], "--network", "MobileNet v2 0.15"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("measured: MobileNet v2 0.15, ") and "1 thread, batch 1" in lines[0]
    assert len(lines) == 2 + len(found["engines"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--engines tvm", "engine must be one of onnxruntime"),
        ("--threads 0", "--threads must be from 1 to 1024; got 0"),
        ("--rounds 1", "--rounds must be from 2 to 1000000; got 1"),
        ("--batch 0", "--batch must be from 1 to 65536; got 0"),
        ("--engines null --network x", "null makes its latencies up"),
        ("--engines onnxruntime --network x", "unknown network 'x'"),
    ],
)
def test_mistakes_are_one_line(words: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(words.split()) == 2
    said = capsys.readouterr()
    assert says in said.err and said.err.count("\n") == 1 and said.out == ""


def test_refuses_an_emulated_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(host, "emulated", lambda: True)
    assert __main__.main(["--engines", "onnxruntime", "--network", "MobileNet v2 0.15"]) == 2
    assert "its wall time is not latency" in capsys.readouterr().err
