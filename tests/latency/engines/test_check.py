"""python -m latency.engines --check: outputs like torch's, times that repeat."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest

from latency.engines import __main__, check
from latency.engines.registry import ENGINES, EngineSpec
from latency.engines.torch.eager import TorchEngine
from latency.ondevice import host
from space.common.errors import EngineError
from space.network.block import Block

Change = Callable[[int, Any], Any]


class Doubtful(TorchEngine):
    """Torch with a clock of its own, whose outputs a test changes.

    `change`: (number of the model, outputs) -> what it says they are. `run_s`: the seconds of one
    run of each model in turn.
    """

    def __init__(self, change: Change, run_s: Iterator[float]) -> None:
        super().__init__(1, "float32")
        self.change, self.run_s, self.now_s, self.numbers = change, run_s, 0.0, count()

    def prepare(self, *args: Any) -> Any:
        run: Any = super().prepare(*args)
        first, second = run.run, run.outputs
        number, seconds = next(self.numbers), next(self.run_s)

        def once() -> None:
            first()
            self.now_s += seconds

        run.run = once
        run.outputs = lambda: [self.change(number, second()[0])]
        return run

    def clock(self) -> float:
        return self.now_s


def same(number: int, value: Any) -> Any:
    return value


def ever(value: float) -> Iterator[float]:
    while True:
        yield value


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Make an engine the one that `torch` names, and compare two blocks."""

    def change(engine: Any) -> None:
        monkeypatch.setattr(check, "get_engine", lambda name, **_: engine)
        monkeypatch.setattr(check, "BLOCKS", check.BLOCKS[:2])
        monkeypatch.setattr(check, "SLOW_S", 1e9)
        monkeypatch.setattr(host, "emulated", lambda: False)

    return change


def test_blocks_are_those_of_the_contract() -> None:
    assert sorted(map(str, check.BLOCKS)) == sorted(str(Block.parse(t)) for t in check.EXAMPLES)
    for before, after in zip(check.NETWORK, check.NETWORK[1:], strict=False):
        assert before.out_shape == (after.c_in, after.height, after.width)


def test_what_holds(use: Callable[[Any], None], capsys: pytest.CaptureFixture[str]) -> None:
    use(Doubtful(same, ever(2e-3)))
    assert __main__.main(["--check", "torch", "--format", "json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    (row,) = found["engines"]
    assert row["wrong"] == row["notes"] == [] and (row["blocks"], row["blocks_total"]) == (2, 2)
    assert row["median_s"] == pytest.approx([2e-3, 2e-3]) and found["repeat"] == check.REPEAT
    assert "checking torch float32: 1 of 1 engines and dtypes" in said.err


# The models in their order: 0 the network, 1 its times, 2 and 3 the blocks, 4 the times again.
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda n, y: y * (1.001 if n == 0 else 1), "outputs of a network differ from torch's by"),
        (lambda n, y: y * (1.001 if n == 2 else 1), f"outputs of {check.FIRST[0]} differ from"),
        (lambda n, y: y * np.nan if n == 3 else y, f"outputs of {check.FIRST[1]} are not finite"),
        (lambda n, y: y[:1] if n == 3 else y, f"outputs of {check.FIRST[1]} have shape (1, 5), "),
    ],
)
def test_outputs_that_are_not_torchs(
    use: Callable[[Any], None], capsys: pytest.CaptureFixture[str], change: Change, says: str
) -> None:
    use(Doubtful(change, ever(2e-3)))
    assert __main__.main(["--check", "torch"]) == 1
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith(f"latency.engines: torch float32 {says}")
    assert f"  {says}" in said.out and "torch          float32  wrong " in said.out


def test_a_model_whose_memory_is_given_to_others(
    use: Callable[[Any], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Right at first, wrong once other models have been prepared."""
    engine = Doubtful(same, ever(2e-3))
    engine.change = lambda n, y: y + 1 if n == 0 and next(engine.numbers) > 1 else y
    use(engine)
    assert __main__.main(["--check", "torch"]) == 1
    assert "the first network, run once more after all others differ" in capsys.readouterr().err


def test_times_that_do_not_repeat(
    use: Callable[[Any], None], capsys: pytest.CaptureFixture[str]
) -> None:
    other = [1.0, 1.0]  # the two blocks, which are not timed
    use(Doubtful(same, iter([1.0, 2e-3, *other, 3e-3, 2e-3, 3e-3])))
    assert __main__.main(["--check", "torch"]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "medians of 4 runs are 2.000, 3.000, 2.000, 3.000 ms" in line and "10%" in line


def test_one_disturbed_run_is_forgiven(use: Callable[[Any], None]) -> None:
    other = [1.0, 1.0]
    use(Doubtful(same, iter([1.0, 3e-3, *other, 2.1e-3, 2e-3])))
    (row,) = check.check_engines(["torch"])["engines"]
    assert row["wrong"] == [] and row["median_s"] == pytest.approx([2.1e-3, 2e-3])


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError("batch 1 needs 2 GiB more"), "fails: batch 1 needs 2 GiB more"),
        (RuntimeError("no\nkernel image"), "cannot run this here: no kernel image"),
        (EngineError("torch cannot run this here: broken"), "cannot run this here: broken"),
    ],
)
def test_a_library_that_fails(
    use: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    engine = Doubtful(same, ever(1.0))
    monkeypatch.setattr(engine, "prepare", fail)
    use(engine)
    (row,) = check.check_engines(["torch"])["engines"]
    assert row["wrong"] == [says]


def test_missing_engines_fail_only_where_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = EngineSpec("latency.engines.no_such", "no-such-package")
    monkeypatch.setitem(ENGINES, "gone", gone)
    assert __main__.main(["--check", "gone"]) == 1
    assert "gone float32 cannot run here: engine 'gone' needs" in capsys.readouterr().err
    monkeypatch.setattr(check, "ENGINES", {"gone": gone})
    found = check.check_engines()
    assert [row["engine"] for row in found["engines"]] == ["gone"] and not check.failures(found)
    assert __main__.main(["--check"]) == 1
    assert "none of these engines can run here" in capsys.readouterr().err


def test_an_emulated_machine_has_no_times(
    use: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Doubtful(same, ever(1.0)))
    monkeypatch.setattr(host, "emulated", lambda: True)
    found = check.check_engines(["torch"])
    (row,) = found["engines"]
    assert "median_s" not in row and row["wrong"] == []
    assert row["notes"] == ["this machine is emulated: its wall time is not latency"]
    assert "2/2        -        -" in check.format_checked(found)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--check tvm", "engine must be one of onnxruntime"),
        ("--check null", "the engine null computes no outputs: leave it out of --check"),
        ("--check torch --engines torch", "--check takes names of engines itself"),
        ("--check --network x", "leave --engines and --network out"),
        ("--check torch --batch 0", "--batch must be from 1 to 65536; got 0"),
    ],
)
def test_mistakes_are_one_line(words: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(words.split()) == 2
    said = capsys.readouterr()
    assert says in said.err.splitlines()[-1] and said.out == ""


@pytest.mark.slow
def test_every_engine_that_runs_here(capsys: pytest.CaptureFixture[str]) -> None:
    """Times may not repeat on a busy machine; outputs must be right."""
    __main__.main(["--check", "--format", "json"])
    rows = json.loads(capsys.readouterr().out)["engines"]
    assert {row["engine"] for row in rows} == {*ENGINES} - {"null"}
    wrong = [line for row in rows for line in row["wrong"] if "do not repeat" not in line]
    assert wrong == [] and sum("blocks" in row for row in rows) >= 3
