"""Files of limits that were changed: limits that a search can use, or one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from latency.microbenchmarks.limits import LEAST, load_limits
from tests.helpers.hostile import examples, mutated_json

VALID = json.dumps(
    {"schema": 1, "limits": {"g1": 1.05, "g2": 1.05, "g3": 5, "g4": None}, "device": "chip"}
)


@examples(250)
@given(st.data())
def test_property_files_of_limits(tmp_path: Path, data: Any) -> None:
    path = tmp_path / "limits.json"
    path.write_bytes(data.draw(mutated_json(VALID)))
    try:
        found = load_limits(path)
    except ValueError as error:
        assert str(error).startswith(str(path)), error
        assert "\n" not in str(error) and len(str(error)) < 2000
    else:
        for name, least in LEAST.items():
            assert isinstance(getattr(found, name), float) and getattr(found, name) >= least
