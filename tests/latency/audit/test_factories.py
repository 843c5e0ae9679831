"""Factories that fail, exit, wait or give no module: one line, and never a traceback."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.audit import __main__ as audit
from latency.audit.factory import build_factory
from latency.audit.graph import check_input, first_line, parse_input, quiet
from tests.helpers.audit_cli import run
from tests.helpers.hostile import examples, run_hostile

MODULE = """
import os, sys
import torch
from torch import nn

def exits(): sys.exit(0)
def exits_with_words(): raise SystemExit("bye")
def stops(): breakpoint()
def asks(): return input("which? ")
def reads(): return os.read(0, 1).decode() or 1 / 0
def pair(): return nn.ReLU(), nn.ReLU()
def nothing(): pass
def kind(): return nn.ReLU
def weights(): return nn.ReLU().state_dict()
def deep(): return deep()
def prints(): print("talk"); os.write(1, b""); return nn.Conv2d(3, 8, 3)
def long(): raise ValueError("x" * 100_000)
def lines(): raise ValueError("one\\ntwo\\nthree")
async def later(): return nn.ReLU()
def many(): yield nn.ReLU()

class Mute(Exception):
    def __str__(self): raise RuntimeError("no words")
def mute(): raise Mute

class Plain: pass
class Broken:
    @property
    def net(self): raise OSError("the disk is gone")
    def __dir__(self): raise RuntimeError
holder = Broken()

class Refuses(nn.Module):
    def eval(self): raise RuntimeError("never evaluated")
    def forward(self, x): return x

class Leaves(nn.Module):
    def forward(self, x): sys.exit(3)

class Asks(nn.Module):
    def forward(self, x): return x * float(input())

class Stops(nn.Module):
    def forward(self, x):
        breakpoint()
        return x
"""


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "audit_hostile.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "audit_exits.py").write_text("import sys\nsys.exit(0)\n", encoding="utf-8")
    (tmp_path / "audit_no_python.py").write_text("def (:\n", encoding="utf-8")
    (tmp_path / "audit_asks.py").write_text("input('name? ')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("audit_hostile", "audit_exits", "audit_asks"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("model", "status", "message"),
    [
        ("builtins:breakpoint", 2, "it is a function of Python itself"),
        ("builtins:input", 2, "it is a function of Python itself"),
        ("os:getcwd", 2, "it is a function of Python itself"),
        ("os:fork", 2, "it is a function of Python itself"),
        ("sys:exit", 2, "it is a function of Python itself"),
        ("os:environ", 2, "must be a class or function; it is _Environ"),
        ("collections:OrderedDict", 2, "it is another class"),
        ("subprocess:Popen", 2, "it is another class"),
        ("os.path:join", 2, "needs arguments (a): write a function"),
        ("audit_hostile:exits", 1, "cannot be called: SystemExit: 0"),
        ("audit_hostile:exits_with_words", 1, "cannot be called: SystemExit: bye"),
        ("audit_hostile:stops", 1, "it stops in the debugger (breakpoint)"),
        ("audit_hostile:asks", 1, "cannot be called: EOFError"),
        ("audit_hostile:reads", 1, "cannot be called: ZeroDivisionError"),
        ("audit_hostile:pair", 2, "must give a torch.nn.Module; it gives tuple"),
        ("audit_hostile:nothing", 2, "must give a torch.nn.Module; it gives NoneType"),
        ("audit_hostile:kind", 2, "must give a torch.nn.Module; it gives type"),
        ("audit_hostile:weights", 2, "must give a torch.nn.Module; it gives OrderedDict"),
        ("audit_hostile:later", 2, "must give a torch.nn.Module; it gives coroutine"),
        ("audit_hostile:many", 2, "must give a torch.nn.Module; it gives generator"),
        ("audit_hostile:deep", 1, "cannot be called: RecursionError"),
        ("audit_hostile:long", 1, "cannot be called: ValueError: xxx"),
        ("audit_hostile:lines", 1, "cannot be called: ValueError: one\n"),
        ("audit_hostile:mute", 1, "cannot be called: Mute: -"),
        ("audit_hostile:Plain", 2, "it is another class"),
        ("audit_hostile:holder.net", 1, "cannot be loaded: OSError: the disk is gone"),
        ("audit_hostile:holder.nte", 2, "has no 'nte'\n"),
        ("audit_hostile:Refuses", 1, "cannot trace the model: RuntimeError: never evaluated"),
        ("audit_hostile:Leaves", 2, "SystemExit: 3"),
        ("audit_hostile:Asks", 2, "EOFError"),
        ("audit_hostile:Stops", 2, "it stops in the debugger (breakpoint)"),
        ("audit_exits:net", 1, "audit_exits cannot be imported: SystemExit: 0"),
        ("audit_no_python:net", 1, "audit_no_python cannot be imported: SyntaxError"),
        ("audit_asks:net", 1, "audit_asks cannot be imported: EOFError"),
        (
            "audit..hostile:net",
            2,
            "MODEL must be package.module:factory; got 'audit..hostile:net'",
        ),
        ("audit_hostile:", 2, "MODEL must be package.module:factory"),
        (":net", 2, "MODEL must be package.module:factory"),
        ("a:b:c", 2, "MODEL must be package.module:factory"),
        ("x" * 10_000, 2, "MODEL must be package.module:factory"),
        ("x:" + "y." * 10_000, 2, "MODEL must be package.module:factory"),
    ],
)
def test_one_line(
    toys: Path, capsys: pytest.CaptureFixture[str], model: str, status: int, message: str
) -> None:
    before = sys.stdin, sys.breakpointhook, os.fstat(0).st_ino
    found, out, err = run(capsys, model, "--input", "3x8x8")
    assert (found, out) == (status, "")
    assert err.startswith("latency.audit: ")
    assert (err.count("\n"), len(err) < 1000) == (1, True)
    assert message in err
    assert before == (sys.stdin, sys.breakpointhook, os.fstat(0).st_ino)


def test_a_factory_may_talk(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert type(build_factory("audit_hostile:prints")).__name__ == "Conv2d"
    assert capsys.readouterr() == ("", "")


def test_stdin_is_at_its_end_for_foreign_code() -> None:
    reading, writing = os.pipe()
    kept = os.dup(0)
    try:
        os.write(writing, b"a person's words")
        os.dup2(reading, 0)
        with quiet():
            assert (os.read(0, 1), sys.stdin.read()) == (b"", "")
        assert os.read(0, 1) == b"a"
    finally:
        os.dup2(kept, 0)
        for handle in (kept, reading, writing):
            os.close(handle)


@pytest.mark.parametrize(
    "text",
    ["3x0x0", "0x3x3", "-3x8x8", "3x1000000000x1000000000", "3x8193x8193", "1e9x8x8", "3x8",
     "3x8x8x8", "3x٣x8", "3x" + "9" * 5000 + "x8", "x", "3xx8", "3 x8x8"],
)  # fmt: skip
def test_wrong_inputs(capsys: pytest.CaptureFixture[str], text: str) -> None:
    status, out, err = run(capsys, "torch.nn:ReLU", f"--input={text}")
    assert (status, out, err.count("\n"), len(err) < 400) == (2, "", 1, True)
    assert "--input must be CHANNELSxHEIGHTxWIDTH" in err


def test_sizes_of_an_input() -> None:
    assert parse_input("3x8192x2730") == (3, 8192, 2730)
    for shape in ((3, 0, 8), (3, 8), (-3, -8, 8), (1, 2**13, 2**14)):
        with pytest.raises(ValueError, match="each at least 1 and all together at most 67108864"):
            check_input(shape)


def test_first_line_is_short() -> None:
    assert first_line(ValueError("x" * 1000)) == f"ValueError: {'x' * 300}..."


MODULES = ("os", "sys", "builtins", "torch", "torch.nn", "json", "x", "", "a.b")
ATTRIBUTES = (
    "path", "exit", "dict", "nn", "no_grad", "ReLU", "Linear", "dumps", "", "..", "é", "__doc__",
    "__import__", "ReLU.forward", "Module.T_destination", "quit", "float32", "Module", "copyright",
    "Identity.training", "cuda", "input",
)  # fmt: skip


@examples(120)
@given(
    st.one_of(
        st.text(st.characters(exclude_characters="\0"), max_size=40),
        st.builds("{}:{}".format, st.sampled_from(MODULES), st.sampled_from(ATTRIBUTES)),
    )
)
def test_property_names_of_models(model: str) -> None:
    if not model.startswith("-"):
        words = (model, "--input", "1x2x2", "--format", "json")
        run_hostile(audit.main, words, name="latency.audit")
