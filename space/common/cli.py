"""How a command starts and ends: its parser, its exit status, and one line for a user's mistake.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from space.common.errors import NO_ANSWER, WRONG_USAGE, G4nasError

DONE, INTERRUPTED, PIPE_CLOSED = 0, 130, 141
__all__ = [
    "DONE", "INTERRUPTED", "NO_ANSWER", "PIPE_CLOSED", "WRONG_USAGE", "Parser", "add_format",
    "check_least", "command_line", "log", "run_command",
]  # fmt: skip


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, and whose values may begin with a minus."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        words = list(sys.argv[1:] if args is None else args)
        for index in range(len(words) - 1, 0, -1):
            # Joined, or argparse takes the -5M of `--budget -5M` for an option.
            if re.match(r"-[\d.]", words[index]) and re.fullmatch(r"--[\w-]+", words[index - 1]):
                words[index - 1 : index + 1] = [f"{words[index - 1]}={words[index]}"]
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        name = self.prog.removeprefix("python -m ")
        self.exit(WRONG_USAGE, f"{name}: {' '.join(message.split())} (see --help)\n")


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add --format: text for people, or JSON for programs."""
    parser.add_argument("--format", choices=("table", "json"), default="table")


def check_least(values: Mapping[str, float | None], least: Mapping[str, float]) -> None:
    """ValueError if an option is below its least value.

    Args:
        values: name of the option, with underscores -> its value; None: the option is absent.
    """
    for name, limit in least.items():
        value = values[name]
        if value is not None and not value >= limit:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} must be at least {limit}; got {value}")


def command_line(module: str, words: Sequence[str] | None) -> str:
    """The command as a user types it, for a record; `words` None: those of this process."""
    import shlex

    used = sys.argv[1:] if words is None else words
    return shlex.join(["python", "-m", module, *used])


def run_command(
    name: str, body: Callable[[], int], *, extra: str = "", stopped: str = "interrupted"
) -> int:
    """Run `body` and return its exit status.

    0: done. 1: no answer (nothing meets the budget, a device is out of reach, a package is
    missing). 2: wrong usage or input, an unreadable or unwritable file too. 130: Ctrl-C. 141: the
    reader of stdout is gone.

    Args:
        extra: the optional dependencies (as `g4nas[extra]`) that the command may lack.
        stopped: what Ctrl-C prints where the work does not say what is on disk.
    """
    try:
        status = body()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Python flushes stdout once more at exit; without this it would print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except G4nasError as error:
        message, status = str(error), error.status
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message = f"{where}{error.strerror or error}"
        status = WRONG_USAGE if error.filename else NO_ANSWER
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name and extra
        needed = f"{error.name} is needed and not installed: pip install 'g4nas[{extra}]'"
        message, status = needed if missing else str(error), NO_ANSWER
    except ValueError as error:
        message, status = str(error), WRONG_USAGE
    except KeyboardInterrupt as error:
        message, status = str(error) or stopped, INTERRUPTED
    log(f"{name}: {' '.join(message.split())}")
    return status


def log(message: str) -> None:
    """Print to stderr: for the person, not for the program that reads stdout."""
    print(message, file=sys.stderr, flush=True)
