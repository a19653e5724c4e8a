"""What does a test see of queues? Messages that wait, and dead letters, with their times as datetimes."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from ..envelopes import decode
from ..messages import DEAD_LETTER_DESCRIPTION, DEAD_LETTER_REASON, Delivery
from ..task.task import Task


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits in `queue` until `due`. `task` is its envelope, None if the body is none."""

    queue: str
    due: datetime.datetime
    message_id: str
    task: Task | None
    body: bytes

    @property
    def function(self) -> str:
        """The name of the task function; empty if the body is no envelope."""
        return "" if self.task is None else self.task.function_name


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What a task that was given up has left. `attempt` is 0 and the ids are empty if the body was no envelope.

    `traceback` is empty when no code failed. `origin` is the queue the message came from, `body` the message itself.
    """

    reason: str
    description: str
    error_type: str
    traceback: str
    task_id: str
    function: str
    attempt: int
    origin: str
    failed_at: datetime.datetime
    body: bytes


def waiting(message: Delivery) -> Waiting:
    """A message as a test sees it."""
    task = decode(message.body)
    return Waiting(
        queue=message.queue,
        due=instant(message.enqueued_at),
        message_id=message.message_id,
        task=task if isinstance(task, Task) else None,
        body=message.body,
    )


def dead_letter(message: Delivery) -> DeadLetter:
    """A dead letter as a test sees it."""
    said = message.properties
    return DeadLetter(
        reason=str(said.get(DEAD_LETTER_REASON, "")),
        description=str(said.get(DEAD_LETTER_DESCRIPTION, "")),
        error_type=str(said.get("error_type", "")),
        traceback=str(said.get("traceback", "")),
        task_id=str(said.get("task_id", "")),
        function=str(said.get("function", "")),
        attempt=int(said.get("attempt", 0)),
        origin=str(said.get("origin", "")),
        failed_at=datetime.datetime.fromisoformat(str(said["failed_at"])),
        body=message.body,
    )


def instant(seconds: float) -> datetime.datetime:
    """Seconds since the epoch, as an aware datetime."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
