"""What is a task, and what became of it: the envelope and the result."""

from __future__ import annotations

from ..ids import GraphId, NullTaskId, TaskId, new_task_id
from .result import TaskResult, TaskStatus
from .task import Task

__all__ = ["GraphId", "NullTaskId", "Task", "TaskId", "TaskResult", "TaskStatus", "new_task_id"]
