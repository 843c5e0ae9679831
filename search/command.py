"""How a command of this room ends: results on stdout, one line on stderr for a user's mistake."""

from __future__ import annotations

import sys
from collections.abc import Callable

from space.errors import InfeasibleError, MissingOpError

DONE, NO_ANSWER, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


def run_command(name: str, body: Callable[[], int]) -> int:
    """Run `body` and return its exit status; 1: no answer, 2: wrong usage, 130: Ctrl-C."""
    try:
        return body()
    except (InfeasibleError, MissingOpError) as error:
        message, status = str(error), NO_ANSWER
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message, status = f"{where}{error.strerror or error}", WRONG_USAGE
    except (ValueError, ModuleNotFoundError) as error:
        message, status = str(error), WRONG_USAGE
    except KeyboardInterrupt:
        message, status = "interrupted", INTERRUPTED
    print(f"{name}: {' '.join(message.split())}", file=sys.stderr)
    return status


def say(message: str) -> None:
    """Talk to the person, not to the program that reads stdout."""
    print(message, file=sys.stderr, flush=True)
