"""What is a sequence of tasks that is added to a graph as one?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..graph_errors import GraphError
from .nodes import refuse_what_is_no_task

if TYPE_CHECKING:
    from ..task.task import Task


class TaskChain:
    """Tasks that run one after another: `builder.add_chain(TaskChain(a, b, c))`.

    `on_any_failure` runs once if one of them fails, when all have ended. In `depends_on` a chain stands for its last
    task. Raises GraphError (a ValueError) for a chain of nothing.
    """

    def __init__(self, *tasks: Task, on_any_failure: Task | None = None) -> None:
        if not tasks:
            raise GraphError("a chain has at least one task: TaskChain(task, ...)")
        for task in tasks if on_any_failure is None else (*tasks, on_any_failure):
            refuse_what_is_no_task(task)
        self._tasks = tasks
        self.on_any_failure = on_any_failure

    @property
    def head(self) -> Task:
        """The first task."""
        return self._tasks[0]

    @property
    def last(self) -> Task:
        """The last task."""
        return self._tasks[-1]

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks)
