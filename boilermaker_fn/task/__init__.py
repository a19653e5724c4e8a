"""What is a task, what became of it, and how do tasks make a graph? The envelope, the result, the builder."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from ..ids import GraphId, NullTaskId, TaskId, new_task_id
from .row import TaskStatus
from .task import Task

if TYPE_CHECKING:
    from ..graph.builder import LAST_ADDED, TaskGraphBuilder
    from ..graph.chain import TaskChain
    from ..graph.graph import TaskGraph
    from ..graph.references import PARENT_RESULTS
    from .result import TaskResult
    from .typed import TaskOf

__all__ = [
    "LAST_ADDED",
    "PARENT_RESULTS",
    "GraphId",
    "NullTaskId",
    "Task",
    "TaskChain",
    "TaskGraph",
    "TaskGraphBuilder",
    "TaskId",
    "TaskOf",
    "TaskResult",
    "TaskStatus",
    "new_task_id",
]

#: Imported when somebody asks for them: whoever only runs tasks does not.
_LATER: Final = {
    "LAST_ADDED": "boilermaker_fn.graph.builder",
    "PARENT_RESULTS": "boilermaker_fn.graph.references",
    "TaskChain": "boilermaker_fn.graph.chain",
    "TaskGraph": "boilermaker_fn.graph.graph",
    "TaskGraphBuilder": "boilermaker_fn.graph.builder",
    "TaskOf": "boilermaker_fn.task.typed",
    "TaskResult": "boilermaker_fn.task.result",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
