"""How a command ends: results on stdout, one line on stderr for a user's mistake."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from space.common.errors import InfeasibleError, MissingOpError

DONE, NO_ANSWER, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


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


class NoAnswerError(Exception):
    """The work could not be finished, by no mistake in the words of the command."""


def run_command(name: str, body: Callable[[], int], *, extra: str = "") -> int:
    """Run `body` and return its exit status; 1: no answer, 2: wrong usage, 130: Ctrl-C.

    `extra`: the optional part of the package that has what the command may lack.
    """
    try:
        return body()
    except (InfeasibleError, MissingOpError, NoAnswerError) as error:
        message, status = str(error), NO_ANSWER
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message, status = f"{where}{error.strerror or error}", WRONG_USAGE
    except ModuleNotFoundError as error:
        needed = f"{error.name} is needed and not installed: pip install 'g4nas[{extra}]'"
        message, status = needed if extra else str(error), WRONG_USAGE
    except ValueError as error:
        message, status = str(error), WRONG_USAGE
    except KeyboardInterrupt:
        message, status = "interrupted", INTERRUPTED
    log(f"{name}: {' '.join(message.split())}")
    return status


def log(message: str) -> None:
    """Talk to the person, not to the program that reads stdout."""
    print(message, file=sys.stderr, flush=True)
