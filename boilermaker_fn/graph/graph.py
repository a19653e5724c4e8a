"""What is a graph of tasks? Tasks, what each waits for, and what runs when something fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from ..graph_errors import GraphError
from ..ids import GraphId, new_task_id, problem_with_id
from ..outcomes import Graphlike
from ..task.task import Task
from .mapping import mapping, name_of
from .naming import named
from .nodes import Nodes, refuse_what_is_no_task
from .planning import checked, planned
from .unfolding import unfolded

if TYPE_CHECKING:
    from ..task.typed import TaskOf
    from .plan import Plan

#: Longest id of a graph, in characters: those of its messages are longer.
MAX_GRAPH_ID_LENGTH: Final = 64


class TaskGraph(Graphlike):
    """Tasks that run when those they depend on have succeeded. TaskGraphBuilder is the easier way to make one.

    `graph_id` is a new id, or one of your own of at most 64 characters: a graph published twice under one id runs
    once. Raises GraphError (a ValueError) for an id that cannot be one.
    """

    def __init__(self, graph_id: str | None = None) -> None:
        self.graph_id = GraphId(new_task_id() if graph_id is None else _checked_id(graph_id))
        self._nodes = Nodes()
        self._callback: Task | None = None
        # Ids that others wait for: only one of these can close a circle when it is added.
        self._named: set[str] = set()

    @classmethod
    def of(cls, nodes: Nodes, callback: Task | None, graph_id: str | None) -> TaskGraph:
        """A graph of all that a builder holds."""
        graph = cls(graph_id)
        graph._nodes = nodes.copy()
        graph._named = {*nodes.tasks}
        if callback is not None:
            graph.add_all_failed_callback(callback)
        return graph

    def add_task(self, task: Task, parent_ids: Sequence[str] | None = None) -> None:
        """Add a task that runs when its parents have succeeded; they may be added later.

        Raises GraphError when it is here already, or one of the parents depends on it; the graph is unchanged then.
        """
        parents = tuple(dict.fromkeys(parent_ids or ()))
        self._nodes.refuse([task])
        self._refuse_callback(task)
        self._refuse_cycle(task, parents)
        self._nodes.add(task, parents)
        self._named.update(parents)

    def map(
        self, fn: Callable[..., Any] | str, *, over: Any, parent_ids: Sequence[str] | None = None
    ) -> TaskOf[list[Any]]:
        """Add, and return, a task that runs `fn` for each item of `over`: a list, or the result of another task.

        Its result is the list of theirs, in order. `fn` is named by its `__name__`; `app.create_map` knows the name it
        was registered under, and further arguments. Raises GraphError as `add_task` does.
        """
        task = mapping(name_of(fn), over)
        self.add_task(task, parent_ids)
        return cast("TaskOf[list[Any]]", task)

    def add_failure_callback(self, parent_id: str, callback_task: Task) -> None:
        """Add a task that runs when the parent has failed. Added for several parents it runs once.

        It then waits until all of them have ended. Raises GraphError as `add_task` does.
        """
        self._nodes.refuse_handler(callback_task)
        self._refuse_callback(callback_task)
        self._refuse_cycle(callback_task, (parent_id,))
        self._nodes.add_guard(callback_task, parent_id)
        self._named.add(parent_id)

    def add_all_failed_callback(self, callback_task: Task) -> None:
        """Set the task that runs once, after all others, if one of them has failed.

        Raises GraphError when there is one already, or when it is a task or a handler of the graph.
        """
        refuse_what_is_no_task(callback_task)
        if self._callback is not None:
            raise GraphError(
                f"{named(self._callback)} is the all-failed callback already: a graph has one", [callback_task.task_id]
            )
        self._nodes.refuse([callback_task])
        self._callback = callback_task

    def check(self) -> None:
        """Raises GraphError, naming the task or the path, if the graph could not be published as it is."""
        checked(self._nodes, self._callback)

    def plan(self) -> Plan:
        """The checked and numbered form, with callbacks and chains as tasks of their own; in O(V + E).

        The tasks in it are copies; those that were added get the graph's id. Raises GraphError as `check` does.
        """
        found = checked(self._nodes, self._callback)
        for task in (*found.tasks, *([] if self._callback is None else [self._callback])):
            if task.graph_id != self.graph_id:
                task.graph_id = self.graph_id
        return planned(self.graph_id, found, self._callback)

    def mark_published(self) -> None:
        """From now on its tasks are what was sent (see Task.mark_published)."""
        for task in unfolded(self._nodes).tasks.values():
            task.mark_published()
        if self._callback is not None:
            self._callback.mark_published()

    def to_mermaid(self, statuses: Mapping[str, str] | None = None) -> str:
        """A Mermaid flowchart of what will be published; `statuses` by task id mark its tasks. Raises as `check`."""
        from .picture import mermaid  # few graphs are looked at

        return mermaid(checked(self._nodes, self._callback), self._callback, statuses or {})

    def to_text(self, statuses: Mapping[str, str] | None = None) -> str:
        """The same in plain text, in at most about 60 lines: tasks that are alike share one. Raises as `check`."""
        from .outline import outline

        return outline(self.graph_id, checked(self._nodes, self._callback), self._callback, statuses or {})

    def _refuse_callback(self, task: Task) -> None:
        if self._callback is not None and task.task_id == self._callback.task_id:
            raise GraphError(f"{named(task)} is the all-failed callback of this graph already", [task.task_id])

    def _refuse_cycle(self, task: Task, before: Sequence[str]) -> None:
        if task.task_id in self._named or task.task_id in before:
            self._nodes.refuse_cycle(task, before)

    def __repr__(self) -> str:
        return f"TaskGraph<{self.graph_id}>"

    def __str__(self) -> str:
        try:
            return self.to_text()
        except GraphError as error:
            return f"{self!r}: {error}"


def _checked_id(graph_id: str) -> str:
    if problem := problem_with_id(graph_id, "graph_id", MAX_GRAPH_ID_LENGTH):
        raise GraphError(problem)
    return graph_id
