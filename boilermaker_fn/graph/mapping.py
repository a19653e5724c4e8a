"""How does one function run over a list that is not known yet? As a graph of its own, with a task for each item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..ids import new_task_id
from ..outcomes import MAP, Graphlike
from ..task.task import Task
from .plan import Plan, Step


class MappedGraph(Graphlike):
    """A task for each of `items`; their results in order, as a list, are those of the graph."""

    def __init__(self, function: str, items: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        self._function = function
        self._items = items
        self._keywords = keywords

    def plan(self) -> Plan:
        """The numbered form."""
        graph_id = new_task_id()
        steps = tuple(Step(self._task(item)) for item in self._items)
        return Plan(graph_id, steps, finals=tuple(range(len(steps))), many=True)

    def _task(self, item: Any) -> Task:
        # By name: whatever else is to be said of it is as its function is registered where it runs.
        payload = {"args": [item], "kwargs": {**self._keywords}}
        return Task(function_name=self._function, payload=payload, by_name=True)


def mapping(function: str, over: Any, keywords: Mapping[str, Any]) -> Task:
    """The task that becomes such a graph; `over` is a list, or the result of another task that is one."""
    return Task(function_name=MAP, payload={"args": [function, over, {**keywords}], "kwargs": {}})
