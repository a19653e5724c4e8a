"""How is a graph written down? Task after task; a cursor remembers what the next one follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Self, TypeAlias

from ..graph_errors import GraphError
from ..task.task import Task
from .chain import TaskChain
from .graph import TaskGraph
from .mapping import mapping, name_of
from .naming import named
from .nodes import Nodes, refuse_what_is_no_task


class LastAdded:
    """What LAST_ADDED is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "LAST_ADDED"


#: For `depends_on`: what was added last.
LAST_ADDED: Final = LastAdded()

DependsOn: TypeAlias = Sequence[Task | str | TaskChain] | LastAdded | None


class TaskGraphBuilder:
    """Builds a TaskGraph.

    `depends_on` says what a task waits for: LAST_ADDED (when it is left out) what was added last; None nothing; or a
    list of tasks, ids of tasks, and chains (which stand for their last task) that were added before. `on_failure` is
    a task that runs when this one has failed; given for several tasks it runs once, when all of them have ended.
    Every method raises GraphError (a ValueError) for a task that is in the graph already and for a dependency that is
    not; the builder is then as it was.
    """

    def __init__(self) -> None:
        self._nodes = Nodes()
        self._callback: Task | None = None
        self._last: list[str] = []
        self._shared: tuple[str, ...] | None = ()

    def add(self, task: Task, *, depends_on: DependsOn = LAST_ADDED, on_failure: Task | None = None) -> Self:
        """Add a task. What comes next follows it."""
        return self.parallel(task, depends_on=depends_on, on_failure=on_failure)

    def then(self, task: Task, *, on_failure: Task | None = None) -> Self:
        """Add a task that follows what was added last."""
        if not self._last:
            raise GraphError("then() has nothing to follow: begin with add(), parallel() or add_chain()")
        return self.add(task, on_failure=on_failure)

    def parallel(self, *tasks: Task, depends_on: DependsOn = LAST_ADDED, on_failure: Task | None = None) -> Self:
        """Add tasks that run at the same time. What comes next follows all of them."""
        if not tasks:
            raise GraphError("parallel() needs at least one task")
        parents = self._resolved(depends_on)
        self._refuse(tasks, on_failure)
        for task in tasks:
            self._add(task, parents, on_failure)
        self._follow([task.task_id for task in tasks])
        return self

    def map(
        self,
        fn: Callable[..., Any] | str,
        *,
        over: Any,
        depends_on: DependsOn = LAST_ADDED,
        on_failure: Task | None = None,
    ) -> Self:
        """Add a task that runs `fn` for each item of `over`: a list, or the result of another task.

        Its result is the list of theirs, in order. `fn` is named by its `__name__`; `app.create_map` knows the name it
        was registered under, and further arguments.
        """
        return self.add(mapping(name_of(fn), over), depends_on=depends_on, on_failure=on_failure)

    def sequence(self, *tasks: Task) -> Self:
        """Add tasks that run one after another, the first after what was added last."""
        return self.add_chain(TaskChain(*tasks)) if tasks else self

    def add_chain(self, chain: TaskChain, *, depends_on: DependsOn = LAST_ADDED) -> Self:
        """Add the tasks of a chain. What comes next follows its last task.

        With `depends_on=None` it begins on its own, and what comes next follows it and what was added before.
        """
        parents = self._resolved(depends_on)
        self._refuse([*chain], chain.on_any_failure)
        for task in chain:
            self._add(task, parents, chain.on_any_failure)
            parents = (task.task_id,)
        if depends_on is None:
            self._last.append(chain.last.task_id)
            self._shared = None
        else:
            self._follow([chain.last.task_id])
        return self

    def on_failure(self, task_id: str | Task, handler: Task) -> Self:
        """Set a task that runs when the one with this id has failed. What comes next is as before."""
        (guarded,) = self._ids([task_id])
        self._refuse([], handler)
        self._nodes.add_guard(handler, guarded)
        return self

    def on_all_failed(self, task: Task) -> Self:
        """Set the task that runs once, after all others, if one of them has failed."""
        refuse_what_is_no_task(task)
        if self._callback is not None:
            raise GraphError(f"on_all_failed is set already, to {named(self._callback)}: a graph has one")
        self._nodes.refuse([task])
        self._callback = task
        return self

    def build(self, on_all_failed: Task | None = None, graph_id: str | None = None) -> TaskGraph:
        """The graph. `on_all_failed` is the same as the method; `graph_id` is of at most 64 characters.

        Raises GraphError, naming the task or the path, for what TaskGraph.check finds.
        """
        if on_all_failed is not None and self._callback is not None:
            raise GraphError("on_all_failed is given to build() and was set before: say it once")
        graph = TaskGraph.of(self._nodes, on_all_failed or self._callback, graph_id)
        graph.check()
        return graph

    # -- cursor

    def _follow(self, last: list[str]) -> None:
        self._last = last
        self._shared = None

    def _resolved(self, depends_on: DependsOn) -> tuple[str, ...]:
        if depends_on is None:
            return ()
        if not isinstance(depends_on, LastAdded):
            return self._ids(depends_on)
        if self._shared is None:
            self._shared = tuple(self._last)
        return self._shared

    def _ids(self, tasks: Sequence[Task | str | TaskChain]) -> tuple[str, ...]:
        if isinstance(tasks, Task | str | TaskChain):
            raise GraphError(f"depends_on is {tasks!r:.200}: it must be a list, [{tasks!r:.200}]")
        ids = dict.fromkeys(map(_id_of, tasks))
        for task_id in ids:
            if task_id not in self._nodes.tasks:
                raise GraphError(f"task {task_id!r} is not in this graph: add it before others refer to it", [task_id])
        return tuple(ids)

    # -- tasks

    def _refuse(self, tasks: Sequence[Task], handler: Task | None) -> None:
        self._nodes.refuse(tasks)
        if handler is not None:
            self._nodes.refuse_handler(handler)
            if any(task.task_id == handler.task_id for task in tasks):
                raise GraphError(f"{named(handler)} cannot handle its own failure", [handler.task_id])

    def _add(self, task: Task, parents: tuple[str, ...], handler: Task | None) -> None:
        self._nodes.add(task, parents)
        if handler is not None:
            self._nodes.add_guard(handler, task.task_id)


def _id_of(task: Any) -> str:
    if isinstance(task, TaskChain):
        return task.last.task_id
    if isinstance(task, Task):
        return task.task_id
    if isinstance(task, str):
        return task
    raise GraphError(f"{task!r:.200} is no task, no id of one and no chain")
