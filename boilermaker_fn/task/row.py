"""How did a task end? Its status, and its terminal row."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, NamedTuple

from ..errors import ResultTooLarge
from ..outcomes import ErrorInfo, Failed, Reason

if TYPE_CHECKING:
    from .task import Task

#: The largest result in bytes of JSON: what fits into one row of Azure Table Storage beside everything else.
MAX_RESULT_BYTES: Final = 14 * 64 * 1024


def beyond(result: str, limit: int) -> Failed | None:
    """How a task ends whose result has more than `limit` bytes, or None."""
    if len(result) <= limit // 4 or (size := len(result.encode())) <= limit:
        return None
    error = ResultTooLarge(size, limit)
    return Failed(
        Reason.ResultNotSerializable, ErrorInfo(f"{ResultTooLarge.__module__}.{ResultTooLarge.__name__}", str(error))
    )


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


def terminal_row(
    task: Task,
    status: TaskStatus,
    now: float,
    *,
    attempts: int | None = None,
    result: str = "null",
    reason: str = "",
    error: ErrorInfo | None = None,
    started_at: float | None = None,
) -> TerminalRow:
    """The row for a task that ends now; `attempts` are those made, by default the one it asks for included."""
    return TerminalRow(
        task_id=task.task_id,
        function=task.function_name,
        status=status,
        attempts=task.attempt if attempts is None else attempts,
        generation=task.generation,
        graph_id=task.graph_id,
        result=result,
        reason=reason,
        error=error,
        published_at=task.published_at,
        started_at=started_at,
        finished_at=now,
    )
