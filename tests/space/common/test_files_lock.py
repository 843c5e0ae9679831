from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from space.common.files import locked

HOLD = """
import sys
from pathlib import Path
from space.common.files import locked
with locked(Path(sys.argv[1]), "search"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_at_a_time(tmp_path: Path) -> None:
    with (
        locked(tmp_path, "search"),
        pytest.raises(ValueError, match=r"another search is running in .*another --out"),
        locked(tmp_path, "search"),
    ):
        pass
    with locked(tmp_path, "search"):  # let go of
        pass


def test_folders_do_not_share_a_lock(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with locked(tmp_path / "a", "search"), locked(tmp_path / "b", "search"):
        pass


def test_a_file_that_need_not_exist(tmp_path: Path) -> None:
    table = tmp_path / "t.json"
    with (
        locked(table, "build"),
        locked(tmp_path / "u.json", "build"),
        pytest.raises(ValueError, match=r"another build is running in .*t\.json: wait"),
        locked(table, "build"),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_a_lock_that_was_removed_is_taken_anew(tmp_path: Path) -> None:
    """A process may have opened the file of a lock just before its holder removed it."""
    table, lock = tmp_path / "t.json", tmp_path / ".t.json.lock"
    with locked(table, "build"):
        lock.unlink()
        with locked(table, "build"), pytest.raises(ValueError, match="another build"):
            with locked(table, "build"):
                pass


@pytest.mark.slow
def test_kill_9_lets_go(tmp_path: Path, root: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout as told:
        assert told.readline() == "held\n"
        with (
            pytest.raises(ValueError, match="another search is running"),
            locked(tmp_path, "search"),
        ):
            pass
        child.kill()
        child.wait()
        with locked(tmp_path, "search"):
            pass
