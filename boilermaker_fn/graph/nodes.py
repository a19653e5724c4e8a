"""What has been said of a graph so far? Its tasks by id, and for each those that it waits for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..graph_errors import GraphError
from ..task.task import Task
from .naming import named, path_of


class Nodes:
    """Tasks by id, in the order in which they were added.

    A task that is in `guards` is a handler: it waits for those to end, and runs if one of them has failed. Any other
    waits for its `parents` to succeed; tasks that were added together share one tuple. `more` has parents that became
    known later.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.parents: dict[str, tuple[str, ...]] = {}
        self.guards: dict[str, dict[str, None]] = {}
        self.more: dict[str, dict[str, None]] = {}

    def copy(self) -> Nodes:
        """The same again: what is added to it changes nothing here."""
        other = Nodes()
        other.tasks, other.parents = self.tasks.copy(), self.parents.copy()
        other.guards = {task_id: guarded.copy() for task_id, guarded in self.guards.items()}
        other.more = {task_id: parents.copy() for task_id, parents in self.more.items()}
        return other

    def add(self, task: Task, parents: tuple[str, ...]) -> None:
        """Add a task that `refuse` let pass."""
        self.tasks[task.task_id] = task
        self.parents[task.task_id] = parents

    def add_parent(self, task: Task, parent: Task) -> None:
        """One more task that a task waits for."""
        self.more.setdefault(task.task_id, {})[parent.task_id] = None

    def add_guard(self, handler: Task, guarded: str) -> None:
        """Add a handler that `refuse_handler` let pass, if it is not here yet, for one more task."""
        self.tasks[handler.task_id] = handler
        self.guards.setdefault(handler.task_id, {})[guarded] = None

    def before(self, task_id: str) -> Iterable[str]:
        """Those that a task waits for."""
        if task_id in self.guards:
            return self.guards[task_id]
        return self.parents_of(task_id)

    def parents_of(self, task_id: str) -> tuple[str, ...]:
        """Those whose success a task waits for, each once."""
        parents, more = self.parents.get(task_id, ()), self.more.get(task_id)
        return parents if more is None else tuple(dict.fromkeys((*parents, *more)))

    def refuse(self, tasks: Iterable[Task]) -> None:
        """Raises GraphError when one of the tasks cannot be added."""
        added: set[str] = set()
        for task in tasks:
            refuse_what_is_no_task(task)
            if task.task_id in self.tasks or task.task_id in added:
                raise added_twice(task)
            added.add(task.task_id)

    def refuse_handler(self, handler: Task) -> None:
        """Raises GraphError when a task cannot be a handler."""
        refuse_what_is_no_task(handler)
        known = self.tasks.get(handler.task_id, handler)
        if known is not handler:
            raise added_twice(handler)
        if handler.task_id in self.tasks and handler.task_id not in self.guards:
            raise both(handler)

    def refuse_cycle(self, task: Task, before: Iterable[str]) -> None:
        """Raises GraphError when one of those that a task is to wait for waits for it."""
        found: dict[str, str] = dict.fromkeys(before, task.task_id)
        pending = [*found]
        while pending:
            one = pending.pop()
            if one == task.task_id:
                raise cycle([{**self.tasks, task.task_id: task}[task_id] for task_id in _path(found, one)])
            for earlier in self.before(one):
                if earlier not in found:
                    found[earlier] = one
                    pending.append(earlier)


def _path(found: dict[str, str], start: str) -> Iterator[str]:
    yield start
    at = found[start]
    while at != start:
        yield at
        at = found[at]
    yield start


def refuse_what_is_no_task(task: Any) -> None:
    """Raises GraphError for anything but a Task."""
    if not isinstance(task, Task):
        raise GraphError(f"{task!r:.200} is no task: make it one with app.create_task(...)")


def added_twice(task: Task) -> GraphError:
    """The error for a second task of the same id."""
    return GraphError(
        f"{named(task)} is in this graph already: make a task for each time it should run", [task.task_id]
    )


def both(task: Task) -> GraphError:
    """The error for a handler that is a task of its own as well."""
    return GraphError(
        f"{named(task)} cannot both handle failures and follow tasks that succeed: make a task for each",
        [task.task_id],
    )


def cycle(path: Sequence[Task]) -> GraphError:
    """The error for tasks that wait for each other; `path` begins and ends with the same one."""
    return GraphError(
        f"these tasks wait for each other and would never start: {path_of(path)}", [task.task_id for task in path]
    )
