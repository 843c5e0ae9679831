"""Debian packages of any architecture, unpacked into a folder and not installed.

apt-get uses a state directory of its own: this system does not change, and no rights are needed.
It reads this system's package sources. Where they lack the architecture, `$G4NAS_APT_SOURCES`, the
path of a sources.list or .sources file, replaces them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from latency.devices.transport import one_line

SOURCES_VARIABLE = "G4NAS_APT_SOURCES"
TOOLS = {"apt-get": "apt", "dpkg-deb": "dpkg"}


def require_tools() -> None:
    """OSError, with what to do, unless apt-get and dpkg-deb are on the PATH."""
    missing = [name for name in TOOLS if shutil.which(name) is None]
    if missing:
        raise OSError(
            f"an emulator's files come from Debian packages, which need {' and '.join(missing)} "
            f"on the PATH: use a Debian or Ubuntu system, or install {TOOLS[missing[0]]}"
        )


def run_tool(
    command: Sequence[str],
    doing: str,
    timeout_s: float = 600.0,
    *,
    text: str | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """The standard output of a command; OSError, with its last error in one line, if it fails.

    Args:
        text: its standard input; None: nothing.
        env: its variables; None: those of this process.
    """
    try:
        done = subprocess.run(
            command,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env=env,
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"{doing} took more than {timeout_s:.0f} s: check the network") from None
    except FileNotFoundError:
        raise OSError(f"{doing} needs {command[0]} on the PATH: install it") from None
    except OSError as error:  # no program of this machine, or not to be run by this user
        raise OSError(f"{doing} failed ({command[0]}: {error.strerror})") from None
    if done.returncode != 0:
        said = map(one_line, (done.stderr.strip() or done.stdout).splitlines())
        lines = [line for line in said if line] or [f"no message, {_how(done.returncode)}"]
        errors = [
            line
            for line in lines
            if line.lower().startswith(("e:", "error")) or " error: " in line
        ]
        raise OSError(f"{doing} failed ({Path(command[0]).name}: {(errors or lines)[-1]})")
    return done.stdout


def _how(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"


class Apt:
    """Package lists of one architecture, in a temporary folder. Entering the context reads them;
    OSError if that fails."""

    def __init__(self, architecture: str) -> None:
        require_tools()
        self.architecture = architecture
        self._folder = tempfile.TemporaryDirectory(prefix="g4nas-apt-")

    def __enter__(self) -> Apt:
        try:
            root = Path(self._folder.name)
            (root / "lists" / "partial").mkdir(parents=True)
            (root / "archives" / "partial").mkdir(parents=True)
            (root / "status").touch()
            settings = {
                "APT::Architecture": self.architecture, "APT::Architectures": self.architecture,
                "Dir::State": root, "Dir::State::status": root / "status", "Dir::Cache": root,
                "Acquire::Languages": "none", "Acquire::Retries": 2, **_sources(),
            }  # fmt: skip
            if os.geteuid() == 0:
                settings["APT::Sandbox::User"] = "root"
            self._options = [f"-o{name}={value}" for name, value in settings.items()]
            what = f"reading the package lists of {self.architecture}"
            run_tool(["apt-get", *self._options, "--error-on=any", "-q", "update"], what)
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def depends(self, package: str) -> list[str]:
        """The direct dependencies of a package, as apt-cache lists them."""
        text = run_tool(["apt-cache", *self._options, "depends", package], f"looking up {package}")
        lines = (line.strip().partition("Depends: ") for line in text.splitlines())
        return [name for kind, _, name in lines if kind in ("", "Pre")]

    def unpack(
        self, packages: Sequence[str], into: Path, *, with_dependencies: bool
    ) -> dict[str, str]:
        """Download packages and unpack them into a folder; return {package: version}. OSError if a
        package is unknown, or cannot be fetched or unpacked."""
        archives = Path(self._folder.name) / "archives"
        for old in archives.glob("*.deb"):
            old.unlink()
        what = f"fetching {', '.join(packages)} ({self.architecture})"
        if with_dependencies:  # the status file is empty, so apt fetches all of them
            flags = ["-y", "-q", "--no-install-recommends", "--download-only", "install"]
            run_tool(["apt-get", *self._options, *flags, *packages], what)
        else:
            names = [f"{name}:{self.architecture}" for name in packages]
            shell = ["env", f"--chdir={archives}", "apt-get", *self._options, "-q", "download"]
            run_tool([*shell, *names], what)
        found: dict[str, str] = {}
        into.mkdir(parents=True, exist_ok=True)
        for path in sorted(archives.glob("*.deb")):
            run_tool(["dpkg-deb", "-x", str(path), str(into)], f"unpacking {path.name}")
            words = ["dpkg-deb", "-f", str(path), "Package", "Version"]
            lines = run_tool(words, f"reading {path.name}").splitlines()
            fields = {name: value for name, _, value in (line.partition(": ") for line in lines)}
            if not {"Package", "Version"} <= fields.keys():
                raise OSError(f"{path.name} must have a name and a version; dpkg-deb shows none")
            found[fields["Package"]] = fields["Version"]
        return found


def host_architecture() -> str:
    """Debian's name of this machine's architecture, for example amd64; OSError without dpkg."""
    require_tools()
    command = ["dpkg", "--print-architecture"]
    return run_tool(command, "asking for this machine's architecture").strip()


def _sources() -> dict[str, object]:
    """apt-get's settings for the sources of `$G4NAS_APT_SOURCES`."""
    name = os.environ.get(SOURCES_VARIABLE)
    if not name:
        return {}
    path = Path(name)
    if not path.is_file():
        raise OSError(f"${SOURCES_VARIABLE} must be the path of a sources list; got {name!r}")
    return {"Dir::Etc::SourceList": path.resolve(), "Dir::Etc::SourceParts": "/dev/null"}
