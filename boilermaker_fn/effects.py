"""What should be done now, and what happened then? The words between the core, which decides, and the shell.

An effect is a frozen instruction; performing it yields one event. Times are seconds since the epoch.
"""

# No `from __future__ import annotations` here: at every start each annotation would be compiled once more.

from typing import NamedTuple, TypeAlias

from .messages import Message
from .outcomes import Outcome
from .task.row import TerminalRow
from .task.task import Task


class ReadRow(NamedTuple):
    """Read the terminal row of a task. Yields RowRead, or StoreDown."""

    task_id: str


class Run(NamedTuple):
    """Run the task function once. Yields Ran."""

    task: Task


class WriteRow(NamedTuple):
    """Insert a terminal row; if there is one already, leave it. Yields RowWritten, or StoreDown."""

    row: TerminalRow


class Send(NamedTuple):
    """Send messages. Yields Sent, NotAccepted, or Undeliverable."""

    messages: tuple[Message, ...]


class Settle(NamedTuple):
    """Complete the message; always the last effect. `ending` says in a word what became of the delivery."""

    ending: str


class Hold(NamedTuple):
    """Do not settle: the message must be delivered again."""

    why: str


Effect: TypeAlias = ReadRow | Run | WriteRow | Send | Settle | Hold


class Delivered(NamedTuple):
    """The queue handed the message over."""

    now: float


class SetAside(NamedTuple):
    """The broker gave a message up; it comes from the queue's dead-letter sub-queue. No user code may run."""

    now: float


class RowRead(NamedTuple):
    """The terminal row, or None."""

    row: TerminalRow | None
    now: float


class Ran(NamedTuple):
    """An attempt ended. `chance`, from 0 to 1, is the random part of a retry's delay."""

    outcome: Outcome
    started_at: float
    now: float
    chance: float


class RowWritten(NamedTuple):
    """The row is durable. `winner` is the row that was there already, None if ours was written."""

    winner: TerminalRow | None
    now: float


class StoreDown(NamedTuple):
    """The table did not answer within its deadline."""

    error: str
    now: float


class Sent:
    """All messages were accepted."""

    __slots__ = ()


class NotAccepted(NamedTuple):
    """Some messages were not accepted."""

    error: str


class Undeliverable(NamedTuple):
    """Some messages will never be accepted, each with its reason; `left` are others that were not accepted yet."""

    messages: tuple[tuple[Message, str], ...]
    left: tuple[Message, ...]
    now: float


Event: TypeAlias = Delivered | SetAside | RowRead | Ran | RowWritten | StoreDown | Sent | NotAccepted | Undeliverable
