"""How the training commands end: results on stdout, one line on stderr for a user's mistake."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

DONE, NO_ANSWER, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        name = self.prog.removeprefix("python -m ")
        self.exit(WRONG_USAGE, f"{name}: {' '.join(message.split())} (see --help)\n")


class NoAnswerError(Exception):
    """The training could not be finished, by no mistake in the words of the command."""


def run_command(name: str, body: Callable[[], int]) -> int:
    """Run `body` and return its exit status; 1: no answer, 2: wrong usage, 130: Ctrl-C."""
    try:
        return body()
    except NoAnswerError as error:
        message, status = str(error), NO_ANSWER
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message, status = f"{where}{error.strerror or error}", WRONG_USAGE
    except ModuleNotFoundError as error:
        needed = f"{error.name} is needed and not installed: pip install 'g4nas[train]'"
        message, status = needed, WRONG_USAGE
    except ValueError as error:
        message, status = str(error), WRONG_USAGE
    except KeyboardInterrupt:
        message, status = "interrupted", INTERRUPTED
    say(f"{name}: {' '.join(message.split())}")
    return status


def say(message: str) -> None:
    """Talk to the person, not to the program that reads stdout."""
    print(message, file=sys.stderr, flush=True)
