"""Public names load their module on first use."""

from __future__ import annotations

import sys
import types

import pytest

from space.common.lazy import public_names


def test_a_name_loads_its_module_once(monkeypatch: pytest.MonkeyPatch) -> None:
    package = types.ModuleType("a_package")
    monkeypatch.setitem(sys.modules, "a_package", package)
    get, listed = public_names("a_package", {"parse_words": "space.graph.op"})
    assert "parse_words" in listed()
    found = get("parse_words")
    assert found is sys.modules["space.graph.op"].parse_words
    assert package.parse_words is found
    with pytest.raises(AttributeError, match="module 'a_package' has no attribute 'other'"):
        get("other")
