"""How does one function run over a list that is not known yet? As a graph of its own, with a task for each item."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..graph_errors import GraphError
from ..ids import new_task_id
from ..outcomes import MAP, Graphlike
from ..task.task import Task
from .plan import Plan, Step
from .references import ResultOf


class MappedGraph(Graphlike):
    """A task for each of `items`, which is its first argument; their results in order are those of the graph."""

    def __init__(self, function: str, items: Sequence[Any], more: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        self._function = function
        self._items = items
        self._more = more
        self._keywords = keywords

    def plan(self) -> Plan:
        """The numbered form."""
        graph_id = new_task_id()
        steps = tuple(Step(self._task(item)) for item in self._items)
        return Plan(graph_id, steps, finals=tuple(range(len(steps))), many=True)

    def _task(self, item: Any) -> Task:
        # By name: whatever else is to be said of it is as its function is registered where it runs.
        payload = {"args": [item, *self._more], "kwargs": {**self._keywords}}
        return Task(function_name=self._function, payload=payload, by_name=True)


def mapping(function: str, over: Any, more: Sequence[Any] = (), keywords: Mapping[str, Any] | None = None) -> Task:
    """The task that becomes such a graph.

    `over` is a list, or the result of another task, which must be one. Raises GraphError for anything else.
    """
    if not isinstance(over, list | tuple | ResultOf):
        raise GraphError(f"over is {over!r:.200}: map over a list, or over the result of another task, task.result")
    arguments = [function, over, [*more], {**(keywords or {})}]
    return Task(function_name=MAP, payload={"args": arguments, "kwargs": {}})


def name_of(function: Callable[..., Any] | str) -> str:
    """The name of a function that was registered under its own; as Task.si takes it."""
    return function if isinstance(function, str) else function.__name__
