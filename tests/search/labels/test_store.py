"""The trainings on disk: what is found again, and lines that were damaged or changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.labels.store import Store, training_key
from tests.helpers.hostile import examples, mutated_json, mutated_text
from tests.helpers.labels import label_row as row

# As versions before schema checks wrote it.
OLD = (
    '{"key": "3f", "architecture": "a", "seed": 0, "accuracy": 41.5, "curve": [40.0, 41.5], '
    '"purpose": "label", "diverged": false, "pruned": false, "flops_trained": 1, '
    '"params_trained": 2, "seconds": 0.5, "recipe": {"name": "short", "lr": 0.1, "drop": null}, '
    '"images": [54, 6], "data": "d", "split": "s", "device": "cpu", "threads": 1, '
    '"versions": {"torch": "2.9"}, "commit": null, "date": "2026-01-01T00:00:00Z"}\n'
)


def test_round_trip(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "a.jsonl")
    assert not store.path.exists()
    store.add(row("x", 50.0))
    store.add(row("y", 60.0))
    store.add(row("x", 55.0))  # its weights were lost, so it was trained again
    again = Store.open(store.path)
    assert again.rows == {"x": row("x", 55.0), "y": row("y", 60.0)} == store.rows


def test_an_old_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(OLD, encoding="utf-8")
    store = Store.open(path)
    expected = {"architecture": "a", "seed": 0, "recipe": json.loads(OLD)["recipe"]}
    assert store.find("3f", expected, 2) == json.loads(OLD)
    assert store.find("4a", expected, 2) is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "must be an object"),
        ('{"key": "a"}', "an object with architecture, seed, accuracy, curve, pruned, diverged"),
        ("7", "must be an object"),
        ("[" * 3000 + "]" * 3000, "nests too deep"),
        (json.dumps(row("x", 1.0) | {"accuracy": "1.0"}), "`accuracy` must be a finite number"),
        (json.dumps(row("x", 101.0)), "`accuracy` must be a finite number from 0 to 100"),
        (json.dumps(row("x", 1.0, [[1.0]])), r"`curve\[0\]` must be a finite number"),
        (json.dumps(row("x", 1.0, [])), "`curve` must have an epoch; got none"),
        (json.dumps(row("x", 1.0) | {"key": ["x"]}), "`key` must be a text"),
        (json.dumps(row("x", 1.0) | {"pruned": 0}), "`pruned` must be true or false; got 0"),
        ('{"accuracy": NaN}', "NaN is no number of JSON"),
    ],
)
def test_damage_names_the_line(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row("x", 1.0)) + f"\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"a\.jsonl, line 2: .*{reason}.*remove the line"):
        Store.open(path)


def test_a_torn_line_is_trained_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row("x", 1.0)) + "\n" + json.dumps(row("y", 2.0))[:30])
    store = Store.open(path)
    assert list(store.rows) == ["x"]
    store.add(row("y", 3.0))
    assert Store.open(path).rows == {"x": row("x", 1.0), "y": row("y", 3.0)}


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match=r"a\.jsonl: must be a file; it is a pipe"):
        Store.open(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"architecture": "b"}, "`architecture` is 'b', and another by its key"),
        ({"seed": 1}, "`seed` is 1, and another by its key"),
        ({"recipe": {"lr": 0.2}}, "`recipe` is .*0.2.*, and another by its key"),
        ({"curve": [50.0]}, "`curve` must have 2 epochs; got 1"),
        ({"curve": [1.0, 2.0, 50.0], "pruned": True}, "`curve` must have 2 epochs; got 3"),
        ({"accuracy": 90.0}, r"`accuracy` is 90.0, and `curve` ends at 50.0"),
    ],
)
def test_a_row_of_another_training_is_refused(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    store = Store.open(tmp_path / "a.jsonl")
    store.add(row("x", 50.0, [40.0, 50.0]) | change)
    expected = {"architecture": "x", "seed": 0, "recipe": {"lr": 0.1}}
    with pytest.raises(ValueError, match=f"the training x was changed: {reason}. Remove its line"):
        store.find("x", expected, 2)


def test_a_stopped_training_is_found(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "a.jsonl")
    store.add(row("x", 50.0, [50.0], pruned=True))
    assert store.find("x", {"architecture": "x"}, 4) == store.rows["x"]


def test_whatever_matters_is_in_the_key() -> None:
    keys = {
        training_key("a", {"lr": 0.1}, 0, ["x", "y"], ["c", "d"]),
        training_key("b", {"lr": 0.1}, 0, ["x", "y"], ["c", "d"]),
        training_key("a", {"lr": 0.2}, 0, ["x", "y"], ["c", "d"]),
        training_key("a", {"lr": 0.1}, 1, ["x", "y"], ["c", "d"]),
        training_key("a", {"lr": 0.1}, 0, ["x", "z"], ["c", "d"]),
        training_key("a", {"lr": 0.1}, 0, ["x", "y"], ["c", "e"]),
    }
    assert len(keys) == 6


@examples(150)
@given(
    lines=st.lists(
        st.one_of(st.just(OLD.encode()), mutated_json(OLD), mutated_text(OLD * 3)), max_size=3
    )
)
def test_property_labels(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("labels") / "labels.jsonl"
    path.write_bytes(b"\n".join(lines))
    expected = {"architecture": "a", "seed": 0, "recipe": json.loads(OLD)["recipe"]}
    try:
        found = Store.open(path).find("3f", expected, 2)
    except ValueError as error:
        assert str(error).startswith(str(path))
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 1000
        return
    if found is not None:
        assert (found["accuracy"], found["curve"]) == (41.5, [40.0, 41.5]) or found["diverged"]
