"""Every error of this project, each with the exit status of a command that it ends.

A bad value is a ValueError and a bad type a TypeError; those are Python's own. What else ends a
command derives from `G4nasError`.
"""

from __future__ import annotations

from typing import ClassVar

NO_ANSWER, WRONG_USAGE = 1, 2


class G4nasError(Exception):
    """The base of all errors below. The message is one line: what must hold, what we got, and what
    to do. `status` is the exit status of a command: 1 no answer, 2 wrong usage or input."""

    status: ClassVar[int] = NO_ANSWER


class NoAnswerError(G4nasError):
    """The work could not be finished, by no mistake in the words of the command."""


class MemoryNeededError(NoAnswerError):
    """Memory ran out. The message says with which settings, and what to lower."""


class InfeasibleError(G4nasError):
    """No architecture meets the budget. The message has the number of trials and the distance of
    the best one."""


class MissingOpError(G4nasError, LookupError):
    """A latency table has no entry for a block or op. The message names it and its nearest known
    neighbours; a sum that lacks it is never returned."""


class AuditError(G4nasError):
    """The audit of a model gives no answer."""


class DivergedError(G4nasError, ArithmeticError):
    """A training diverged: the loss or a weight is not a finite number."""


class ExhaustedError(G4nasError):
    """Every architecture of the space has been tried."""


class DeviceError(G4nasError, OSError):
    """A device cannot be used: its host key is unknown, or its answers are not our server's."""


class EngineError(G4nasError, OSError):
    """An engine's library fails: it cannot load or run a chain."""


class DroppedError(G4nasError, ConnectionError):
    """The connection to a device was lost."""


class DataError(G4nasError, ValueError):
    """Labelled images cannot be used as they are."""

    status = WRONG_USAGE


class MissingDataError(G4nasError):
    """A folder of public tables is not where it was looked for."""

    status = WRONG_USAGE
