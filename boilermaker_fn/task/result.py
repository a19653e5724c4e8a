"""What became of a task: its terminal row, and the form in which users see it."""

from __future__ import annotations

import datetime
import enum
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from ..ids import GraphId, TaskId
from ..outcomes import ErrorInfo


class TaskStatus(enum.StrEnum):
    """Where a task stands. Plain tasks store only the terminal ones."""

    Pending = "pending"
    Scheduled = "scheduled"
    Started = "started"
    Success = "success"
    Failure = "failure"
    Retry = "retry"
    RetriesExhausted = "retries_exhausted"
    Deadlettered = "deadlettered"
    Cancelled = "cancelled"
    Expired = "expired"

    @classmethod
    def default(cls) -> TaskStatus:
        """The status of a task of which nothing is known yet."""
        return cls.Pending

    @property
    def succeeded(self) -> bool:
        """Whether the task ended with a value."""
        return self is TaskStatus.Success

    @property
    def failed(self) -> bool:
        """Whether the task ended without a value because it, or what ran it, failed."""
        return self in _FAILED

    @property
    def finished(self) -> bool:
        """Whether the task has ended."""
        return self in _FINISHED


_FAILED = frozenset({TaskStatus.Failure, TaskStatus.RetriesExhausted, TaskStatus.Deadlettered})
_FINISHED = _FAILED | {TaskStatus.Success, TaskStatus.Cancelled, TaskStatus.Expired}


class TerminalRow(NamedTuple):
    """How a task ended; written once, never changed. Times are seconds since the epoch (None: unknown or never).

    `result` is the value as JSON when `status` is success; `reason` and `error` are set otherwise. `attempts` counts
    those made, the last one included.
    """

    task_id: str
    function: str
    status: TaskStatus
    attempts: int = 0
    generation: int = 0
    graph_id: str | None = None
    result: str = "null"
    reason: str = ""
    error: ErrorInfo | None = None
    published_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None


class TaskResult(BaseModel):
    """A task's result, with the names of boilermaker-servicebus and what was missing there.

    `result` is the returned value as JSON data; `TaskHandle.result()` revives it by the function's return annotation.
    """

    # Whoever only runs tasks never makes one.
    model_config = ConfigDict(defer_build=True)

    task_id: TaskId
    graph_id: GraphId | None = None
    status: TaskStatus = TaskStatus.Pending
    result: Any = None
    errors: list[str] | None = None
    formatted_exception: str | None = None
    function_name: str = ""
    reason: str = ""
    error_type: str = ""
    attempts: int = 0
    published: datetime.datetime | None = None
    started: datetime.datetime | None = None
    finished_at: datetime.datetime | None = None

    @property
    def finished(self) -> bool:
        """Whether the task has ended."""
        return self.status.finished

    @property
    def succeeded(self) -> bool:
        """Whether the task ended with a value."""
        return self.status.succeeded
