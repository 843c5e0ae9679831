"""How a command starts and ends: its parser, its exit status, and one line for a user's mistake.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from space.common.errors import NO_ANSWER, WRONG_USAGE, G4nasError

DONE, INTERRUPTED, PIPE_CLOSED = 0, 130, 141
LONGEST = 1000  # characters of a message

__all__ = [
    "DONE", "INTERRUPTED", "NO_ANSWER", "PIPE_CLOSED", "WRONG_USAGE", "Parser", "add_format",
    "check_range", "command_line", "log", "run_command",
]  # fmt: skip

# Least and largest values of options that mean the same in every command. The largest are beyond
# any use: they catch a slip of the finger before it takes all memory or every process.
RANGES: dict[str, tuple[float, float | None]] = {
    "batch": (1, 65_536),
    "networks": (1, 100_000),
    "seed": (0, 2**32 - 1),  # of numpy's legacy generators, which Optuna and torchvision use
    "seeds": (1, 1000),
    "threads": (1, 1024),
    "trials": (1, 10_000_000),
    "workers": (0, 256),
}


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, and whose values may begin with a minus."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        words = list(sys.argv[1:] if args is None else args)
        for index, word in enumerate(words):
            # A script's variable that is not set; no option means anything by it.
            if not word.strip() or re.fullmatch(r"--[\w-]+=\s*", word):
                option = word.rstrip("= ") or (words[index - 1] if index else "")
                name = option if option.startswith("-") else "an argument"
                self.error(f"{name} must not be empty")
        for index in range(len(words) - 1, 0, -1):
            # Joined, or argparse takes the -5M of `--budget -5M` for an option.
            if re.match(r"-[\d.]", words[index]) and re.fullmatch(r"--[\w-]+", words[index - 1]):
                words[index - 1 : index + 1] = [f"{words[index - 1]}={words[index]}"]
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        name = self.prog.removeprefix("python -m ")
        self.exit(WRONG_USAGE, f"{name}: {_one_line(message)} (see --help)\n")


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add --format: text for people, or JSON for programs."""
    parser.add_argument("--format", choices=("table", "json"), default="table")


def check_range(
    values: Mapping[str, float | None], *common: str, **ranges: tuple[float, float | None]
) -> None:
    """ValueError if an option is outside its range; the message has the range.

    Args:
        values: name of the option, with underscores -> its value; None: the option is absent.
        common: names of options whose range is in `RANGES`.
        ranges: name of another option -> its least and its largest value; None: no largest.
    """
    for name, (least, most) in ({name: RANGES[name] for name in common} | ranges).items():
        value = values[name]
        if value is not None and not least <= value <= (math.inf if most is None else most):
            option = name.replace("_", "-")
            must = f"at least {least}" if most is None else f"from {least} to {most}"
            raise ValueError(f"--{option} must be {must}; got {value}")


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
    interrupts: list[int] = []
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file may be called what the terminal's encoding cannot say.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with _counted_interrupts(interrupts):
            status = body()
            sys.stdout.flush()
            return status
    except BrokenPipeError:
        # Python flushes stdout once more at exit; without this it would print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt as error:
        message, status = str(error) or stopped, INTERRUPTED
    except Exception as error:
        if interrupts:
            # A library that is interrupted in the middle of its work may say so in its own way.
            message, status = stopped, INTERRUPTED
        elif explained := _explain(error, extra):
            message, status = explained
        else:
            raise
    if status == INTERRUPTED:
        # CPython notes an interrupt inside a nested `exec` (dataclasses have one) as one that
        # nobody caught, and ends by the signal; the next `exec` clears the note.
        exec("")
    log(f"{name}: {_one_line(message)}")
    return status


def _one_line(message: str) -> str:
    """A message that cannot fill or recolour a terminal, whatever a file put into it."""
    text = " ".join(message.split())
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


def _explain(error: Exception, extra: str) -> tuple[str, int] | None:
    """The line and the exit status of an error; None if it is a fault of this project."""
    if isinstance(error, G4nasError):
        return str(error), error.status
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        status = WRONG_USAGE if error.filename else NO_ANSWER
        return f"{where}{error.strerror or error}", status
    if isinstance(error, ImportError):
        missing = isinstance(error, ModuleNotFoundError) and error.name and extra
        needed = f"{error.name} is needed and not installed: pip install 'g4nas[{extra}]'"
        return needed if missing else str(error), NO_ANSWER
    if isinstance(error, MemoryError):
        return f"not enough memory: {error or 'use smaller sizes'}", NO_ANSWER
    if isinstance(error, ValueError):
        return str(error), WRONG_USAGE
    return None


@contextmanager
def _counted_interrupts(interrupts: list[int]) -> Iterator[None]:
    """Count Ctrl-C while the block runs; each still raises KeyboardInterrupt."""

    def interrupt(number: int, _: object) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGINT, interrupt)
    except ValueError:  # not the main thread, which alone gets signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def log(message: str) -> None:
    """Print to stderr: for the person, not for the program that reads stdout."""
    print(message, file=sys.stderr, flush=True)
