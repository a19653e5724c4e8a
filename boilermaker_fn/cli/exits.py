"""Which number does a command end with, and what does it say when it ends badly?

The numbers are the same for all commands. An error of this package is a sentence with a remedy, so that sentence is
all that is printed; a traceback is for what nobody foresaw.
"""

from __future__ import annotations

from typing import Any, Final

import click

from ..errors import BoilermakerError, ResultTimeout, TaskFailed, TaskNotFound
from ..task.result import TaskStatus

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_ENDED: Final = 3
INTERRUPTED: Final = 130

LEGEND: Final = """\b
Exit codes:
  0  done; the task ended with a value
  1  the task failed, or there is no such task or dead letter
  2  wrong usage or configuration, or the store does not answer
  3  the task has not ended yet, or not in the time to wait
"""


class Refusal(click.ClickException):
    """A command cannot do what it was asked for, and says why in a sentence."""

    exit_code = USAGE


class NothingFound(Refusal):
    """What was asked for is not there, or did not go well."""

    exit_code = FAILED


class NotEnded(Refusal):
    """A task did not end in the time to wait."""

    exit_code = NOT_ENDED


class Commands(click.Group):
    """A group whose commands raise errors of this package freely."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; its errors become a Refusal."""
        try:
            return super().invoke(ctx)
        except BoilermakerError as error:
            raise _refusal(error) from error


def code_of_status(status: TaskStatus) -> int:
    """The exit code for where a task stands."""
    if status.succeeded:
        return OK
    return FAILED if status.finished else NOT_ENDED


def _refusal(error: BoilermakerError) -> Refusal:
    if isinstance(error, ResultTimeout):
        return NotEnded(str(error))
    return NothingFound(str(error)) if isinstance(error, TaskNotFound | TaskFailed) else Refusal(str(error))
