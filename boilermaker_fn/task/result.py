"""What became of a task, in the form in which users see it? Whoever only runs tasks never imports this."""

from __future__ import annotations

import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..ids import GraphId, TaskId
from .row import TaskStatus, TerminalRow

__all__ = ["TaskResult", "TaskStatus", "TerminalRow"]


class TaskResult(BaseModel):
    """A task's result, with the names of boilermaker-servicebus and what was missing there.

    `result` is the returned value as JSON data; `TaskHandle.result()` revives it by the function's return annotation.
    """

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
