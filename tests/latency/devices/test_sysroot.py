"""latency.devices.sysroot: made once, never half, with one-line errors."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given

from latency.devices import apt, sysroot
from latency.devices.sysroot import Sysroot, arm64_sysroot
from latency.devices.wheels import pip_install
from space.common.files import locked
from tests.helpers.hostile import examples, mutated_json


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("G4NAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def some_sysroot(root: Path) -> Sysroot:
    return Sysroot(root, root / "site", root / "qemu", "3.11")


def test_the_command_runs_the_roots_python_as_the_given_core(tmp_path: Path) -> None:
    made = some_sysroot(tmp_path)
    assert made.command("cortex-a72", "worker.py", ["--x"], qemu=["-d", "exec"]) == [
        str(tmp_path / "qemu"), "-cpu", "cortex-a72", "-L", str(tmp_path), "-d", "exec",
        str(tmp_path / "usr/bin/python3.11"), "worker.py", "--x",
    ]  # fmt: skip


def test_no_core_with_everything(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a core such as cortex-a76"):
        some_sysroot(tmp_path).command("max", "worker.py")


def test_the_environment_keeps_nothing_of_this_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/elsewhere")
    found = some_sysroot(tmp_path).environment()
    assert found["PYTHONPATH"] == str(tmp_path / "site")
    assert "/elsewhere" not in found.values()


def test_no_packages() -> None:
    with pytest.raises(ValueError, match="names of its engine's wheels"):
        arm64_sysroot([])


@pytest.mark.parametrize("missing", ["apt-get", "dpkg-deb"])
def test_without_debians_tools(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in {"apt-get", "dpkg-deb"} - {missing}:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(OSError, match=f"which need {missing} on the PATH"):
        arm64_sysroot(["ncnn"])


def test_what_a_failing_command_said_is_one_line(tmp_path: Path) -> None:
    script = "echo 'E: cannot be fetched' >&2; echo trailer >&2; exit 3"
    with pytest.raises(OSError, match=r"^reading lists failed \(sh: E: cannot be fetched\)$"):
        apt.run_tool(["sh", "-c", script], "reading lists")


def test_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(OSError, match="wheels need pip: false -m ensurepip"):
        pip_install(["ncnn"], tmp_path, "3.11", sysroot.PLATFORMS, compiled=True)


def test_other_sources_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "require_tools", lambda: None)
    monkeypatch.setenv(apt.SOURCES_VARIABLE, "/no/such/list")
    with pytest.raises(OSError, match="must be the path of a sources list"), apt.Apt("arm64"):
        pass


class TestMade:
    """A folder is whole or not there."""

    def make(self, path: Path) -> None:
        (path / "file").write_text("whole")
        sysroot.mark_whole(path)

    def test_made_once(self, tmp_path: Path) -> None:
        path = sysroot.made_folder(tmp_path / "a", self.make)

        def again(path: Path) -> None:
            raise AssertionError("made twice")

        assert sysroot.made_folder(path, again) == path
        assert (path / "file").read_text() == "whole"

    def test_a_failure_leaves_nothing(self, tmp_path: Path) -> None:
        def fails(path: Path) -> None:
            (path / "file").write_text("half")
            raise OSError("no network")

        with pytest.raises(OSError, match="no network"):
            sysroot.made_folder(tmp_path / "a", fails)
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_without_its_mark_is_made_again(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "file").write_text("half")
        path = sysroot.made_folder(tmp_path / "a", self.make)
        assert (path / "file").read_text() == "whole"

    def test_two_at_once(self, tmp_path: Path) -> None:
        def slow(path: Path) -> None:
            sysroot.made_folder(tmp_path / "a", self.make)  # another process is faster
            self.make(path)

        path = sysroot.made_folder(tmp_path / "a", slow)
        assert [p.name for p in tmp_path.iterdir()] == ["a"]
        assert (path / "file").read_text() == "whole"

    @pytest.mark.parametrize(
        "mark", [b"", b"{", b"[]", b'{"python": "3.11"}', b'{"python": "../x", "versions": {}}',
                 b'{"python": "3.11", "versions": {"a": ["1"]}}', b"\xff\xfe", b"[" * 10**5],
    )  # fmt: skip
    def test_a_folder_whose_mark_is_damaged_is_made_again(
        self, tmp_path: Path, mark: bytes
    ) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / sysroot.MARK).write_bytes(mark)

        def make(path: Path) -> None:
            sysroot.mark_whole(path, python="3.12", versions={"libc6": "2.36-9+deb12u10"})

        path = sysroot.made_folder(tmp_path / "a", make, facts=("python", "versions"))
        assert sysroot.read_mark(path)["python"] == "3.12"

    def test_what_a_killed_process_left_is_removed(self, tmp_path: Path) -> None:
        old, new, held = (tmp_path / f".a.{name}" for name in ("old", "new", "held"))
        for folder in (old, new, held):
            (folder / "half").mkdir(parents=True)
        for folder in (old, held):
            os.utime(folder, (0, 0))
        with locked(held, "making"):
            os.utime(held, (0, 0))
            sysroot.made_folder(tmp_path / "a", self.make)
        assert sorted(p.name for p in tmp_path.iterdir()) == [".a.held", ".a.new", "a"]

    def test_a_full_disk_leaves_nothing(self, tmp_path: Path) -> None:
        def full(path: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device", str(path / "x"))

        with pytest.raises(OSError, match="No space left"):
            sysroot.made_folder(tmp_path / "a", full)
        assert not list(tmp_path.iterdir())


MARK = '{"python": "3.11", "versions": {"libc6": "2.36-9+deb12u10", "python3.11": "3.11.2"}}'


@examples(60)
@given(data=mutated_json(MARK))
def test_property_a_mark_is_right_or_the_folder_is_made_again(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("made") / "a"
    path.mkdir()
    (path / sysroot.MARK).write_bytes(data)

    def make(new: Path) -> None:
        sysroot.mark_whole(new, python="3.99", versions={})

    facts = sysroot.read_mark(sysroot.made_folder(path, make, facts=("python", "versions")))
    assert facts["python"].startswith("3.") and all(
        isinstance(v, str) for v in facts["versions"].values()
    )


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("kill -9 $$", "reading lists failed (sh: no message, signal 9)"),
        ("printf '\\033[31mbad\\377' >&2; exit 1", "reading lists failed (sh: [31mbad\ufffd)"),
        ("exec sleep 60", "reading lists took more than 0 s: check the network"),
    ],
)
def test_tools_that_fail_in_other_ways(script: str, told: str) -> None:
    with pytest.raises(OSError, match="reading lists") as caught:
        apt.run_tool(["sh", "-c", script], "reading lists", timeout_s=0.3)
    assert str(caught.value) == told


def test_a_tool_that_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "tool").write_bytes(b"\x7fELF?")
    (tmp_path / "tool").chmod(0o755)
    with pytest.raises(OSError, match=r"asking failed \(.*/tool: ") as caught:
        apt.run_tool([str(tmp_path / "tool")], "asking")
    assert caught.value.filename is None


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
def test_aarch64_python_runs(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G4NAS_CACHE", os.environ.get("G4NAS_TEST_CACHE") or str(shared_cache))
    try:
        made = arm64_sysroot(["numpy"])
    except OSError as error:
        pytest.skip(f"no aarch64 sysroot here: {error}")
    script = shared_cache / "says.py"
    script.write_text(
        "import json, os, platform\nimport numpy\n"
        "print(json.dumps([platform.machine(), numpy.arange(5).sum().item(),"
        " open('/proc/cpuinfo').read()]))\n"
    )
    done = subprocess.run(
        made.command("cortex-a76", script), env=made.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    machine, total, cpuinfo = json.loads(done.stdout)
    assert (machine, total) == ("aarch64", 10)
    assert "qemu" in cpuinfo.lower()  # what latency.ondevice.host.emulated() looks for
    assert made.versions["numpy"]
    assert arm64_sysroot(["numpy"]) == made
