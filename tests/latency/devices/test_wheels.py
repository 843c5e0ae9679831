"""Which wheels a device is given, and how they get there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from latency.devices import wheels
from latency.devices.archive import zip_bytes
from latency.devices.remote import RemoteSession
from latency.engines.registry import get_engine
from tests.helpers.hostile import examples, mutated_bytes
from tests.helpers.process_transport import ProcessTransport

HELLO = {
    "python": "3.11.2", "machine": "aarch64", "system": "Linux", "libc": ["glibc", "2.31"],
    "free_bytes": 10**9,
}  # fmt: skip


class TestWheels:
    def test_tags_of_a_raspberry_pi(self) -> None:
        tags = wheels.platform_tags(HELLO, "there")
        assert tags[0] == "manylinux_2_31_aarch64" and "manylinux_2_28_aarch64" in tags
        assert "manylinux_2_34_aarch64" not in tags and "manylinux2014_aarch64" in tags

    def test_tags_of_alpine(self) -> None:
        tags = wheels.platform_tags({**HELLO, "libc": ["musl", ""]}, "there")
        assert tags == ["musllinux_1_2_aarch64", "musllinux_1_1_aarch64"]

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"python": "3.8.10"}, r"there must have Python 3\.9 or newer; it has 3\.8\.10"),
            ({"system": "Darwin"}, "must run Linux; it runs Darwin"),
            ({"libc": ["glibc", "2.12"]}, r"must have glibc 2\.17 or newer; it has glibc 2\.12"),
            ({"libc": ["", ""]}, r"must have glibc 2\.17 or newer"),
        ],
    )
    def test_where_no_wheel_runs(self, change: dict[str, Any], told: str) -> None:
        with pytest.raises(OSError, match=told):
            wheels.platform_tags({**HELLO, **change}, "there")

    def test_no_such_wheel(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """One line, after both the version here and any version were tried."""
        monkeypatch.setenv("G4NAS_CACHE", str(tmp_path))
        tried: list[list[str]] = []

        def pip(packages: Sequence[str], *_: object, **__: object) -> None:
            tried.append(list(packages))
            raise OSError("No matching distribution found for onnxruntime")

        monkeypatch.setattr(wheels, "pip_install", pip)
        with pytest.raises(OSError, match=r"no wheels of onnxruntime, numpy for there \(Python"):
            wheels.engine_wheels("onnxruntime", {**HELLO, "machine": "armv7l"}, "there")
        assert tried[1] == ["onnxruntime", "numpy"] and "==" in tried[0][0]
        assert not list(tmp_path.rglob("*.zip"))

    def test_fetched_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("G4NAS_CACHE", str(tmp_path))
        calls = []

        def pip(
            packages: Sequence[str], site: Path, python: str, tags: list[str], *, compiled: bool
        ) -> None:
            calls.append((python, tags[0]))
            for name in ("numpy/__init__.py", "numpy/tests/test.py", "numpy/include/a.h"):
                (site / name).parent.mkdir(parents=True, exist_ok=True)
                (site / name).write_text("x")

        monkeypatch.setattr(wheels, "pip_install", pip)
        first = wheels.engine_wheels("onnxruntime", HELLO, "there")
        assert wheels.engine_wheels("onnxruntime", HELLO, "there") == first
        assert calls == [("3.11", "manylinux_2_31_aarch64")]
        assert first[2] == 1  # neither tests nor headers

    @examples(25)
    @given(data=mutated_bytes(zip_bytes({"a/__init__.py": b"x" * 100, "b.py": b"y"})))
    def test_property_a_damaged_archive_is_fetched_again(
        self, tmp_path_factory: pytest.TempPathFactory, data: bytes
    ) -> None:
        """What is in the cache is what was put there, or is replaced."""
        folder = tmp_path_factory.mktemp("cache")
        calls = []

        def pip(packages: Sequence[str], site: Path, *_: object, **__: object) -> None:
            calls.append(packages)
            site.mkdir(parents=True)
            (site / "new.py").write_text("xy")

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("G4NAS_CACHE", str(folder))
            patch.setattr(wheels, "pip_install", pip)
            first = wheels.engine_wheels("onnxruntime", HELLO, "there")
            (path,) = folder.rglob("*.zip")
            path.write_bytes(data)
            second = wheels.engine_wheels("onnxruntime", HELLO, "there")
        assert (first[2], second[1]) == (2, path.read_bytes())
        assert len(calls) == 2 or second[2] in (101, 100, 1)

    def test_a_pipe_in_place_of_an_archive(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("G4NAS_CACHE", str(tmp_path))
        monkeypatch.setattr(wheels, "pip_install", lambda *_, **__: None)
        _, _, size = wheels.engine_wheels("onnxruntime", HELLO, "there")
        assert size == 0
        (path,) = tmp_path.rglob("*.zip")
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(ValueError, match="must be a file; it is a pipe"):
            wheels.engine_wheels("onnxruntime", HELLO, "there")

    def test_a_version_of_glibc_with_many_digits(self) -> None:
        with pytest.raises(OSError, match=r"there must have glibc 2\.17 or newer"):
            wheels.platform_tags({**HELLO, "libc": ["glibc", "2.999999999"]}, "there")

    def test_a_full_device(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wheels, "engine_wheels", lambda *_, **__: ("0" * 64, b"", 10**12))
        engine = get_engine("null")
        monkeypatch.setattr(engine, "name", "gone")  # no runner of that name is there
        with pytest.raises(
            OSError, match=r"is full: gone needs 953674 MiB there, \d+ MiB are free"
        ):
            RemoteSession(ProcessTransport(tmp_path), engine)

    def test_nothing_to_push(self, tmp_path: Path) -> None:
        with pytest.raises(
            OSError, match="engine 'null' is missing, and it has no wheels to push"
        ):
            wheels.engine_wheels("null", HELLO, "there")
